-- The synthetic hospital's database, as a Chinese HIS of the plain sort has it: no foreign keys, times as local text,
-- codes beside their names, one log without a key, one table that somebody named in Chinese.
-- Keys other than INTEGER say NOT NULL: SQLite would otherwise accept NULL in a primary key.

CREATE TABLE patient_info (
    patient_id     VARCHAR(20)  NOT NULL PRIMARY KEY,
    patient_name   VARCHAR(60)  NOT NULL,
    sex_code       CHAR(1)      NOT NULL,           -- GB/T 2261.1: 0 unknown, 1 male, 2 female, 9 not stated
    birth_date     TEXT,
    id_card        VARCHAR(18),                     -- GB 11643, NULL or '' where there is none
    phone          VARCHAR(20),
    nation         VARCHAR(20),
    region_code    CHAR(6)      NOT NULL,           -- GB/T 2260
    address        VARCHAR(200),
    payment_code   CHAR(2)      NOT NULL,
    blood_type     VARCHAR(4),
    height_cm      REAL,
    created_at     TEXT         NOT NULL,
    updated_at     TEXT         NOT NULL
);

CREATE TABLE outpatient_visit (
    visit_id        INTEGER      NOT NULL PRIMARY KEY,
    patient_id      VARCHAR(20)  NOT NULL,
    patient_name    VARCHAR(60)  NOT NULL,
    gender          SMALLINT     NOT NULL,
    birth_date      TEXT,
    id_card         VARCHAR(18),
    phone           VARCHAR(20),
    dept_code       VARCHAR(10)  NOT NULL,
    dept_name       VARCHAR(60)  NOT NULL,
    doctor_id       INTEGER      NOT NULL,
    doctor_name     VARCHAR(40),
    register_time   TEXT         NOT NULL,
    visit_time      TEXT,
    discharge_time  TEXT,
    status          VARCHAR(10)  NOT NULL,
    icd10_code      VARCHAR(10),
    icd10_name      VARCHAR(100),
    chief_complaint TEXT,
    present_illness TEXT,
    diagnosis_text  TEXT,
    payment_code    CHAR(2)      NOT NULL,
    total_fee       DECIMAL(12,2) NOT NULL,
    insurance_fee   DECIMAL(12,2),
    self_fee        DECIMAL(12,2) NOT NULL,
    visit_type      SMALLINT     NOT NULL,
    is_emergency    SMALLINT     NOT NULL,
    remark          VARCHAR(200),
    created_at      TEXT         NOT NULL,
    updated_at      TEXT         NOT NULL
);

CREATE TABLE medical_order (
    visit_id     INTEGER       NOT NULL,
    order_no     INTEGER       NOT NULL,
    order_type   VARCHAR(10)   NOT NULL,
    item_code    VARCHAR(30)   NOT NULL,
    item_name    VARCHAR(100)  NOT NULL,
    spec         VARCHAR(60),
    dose         REAL,
    dose_unit    VARCHAR(10),
    frequency    VARCHAR(10),
    route        VARCHAR(20),
    quantity     INTEGER       NOT NULL,
    unit         VARCHAR(10),
    price        DECIMAL(12,4) NOT NULL,
    amount       DECIMAL(12,2) NOT NULL,
    status       VARCHAR(10)   NOT NULL,
    ordered_at   TEXT          NOT NULL,
    executed_at  TEXT,
    PRIMARY KEY (visit_id, order_no)
);

CREATE TABLE lab_result (
    lab_no        VARCHAR(20)  NOT NULL PRIMARY KEY,
    visit_id      INTEGER      NOT NULL,
    patient_id    VARCHAR(20)  NOT NULL,
    item_code     VARCHAR(20)  NOT NULL,
    item_name     VARCHAR(60)  NOT NULL,
    result_value  REAL,
    result_text   VARCHAR(60),
    unit          VARCHAR(20),
    abnormal_flag CHAR(1),
    reporter      VARCHAR(40),
    reported_at   TEXT         NOT NULL
);

CREATE TABLE drug_dict (
    drug_code    VARCHAR(23)   NOT NULL PRIMARY KEY,
    drug_name    VARCHAR(100)  NOT NULL,
    form         VARCHAR(20),
    spec         VARCHAR(60),
    unit         VARCHAR(10),
    maker        VARCHAR(100),
    approval_no  VARCHAR(20),
    price        DECIMAL(12,4) NOT NULL,
    is_active    SMALLINT      NOT NULL,
    updated_at   TEXT          NOT NULL
);

CREATE TABLE operation_log (
    log_time     TEXT         NOT NULL,
    operator_id  INTEGER      NOT NULL,
    terminal     VARCHAR(40),
    module       VARCHAR(40)  NOT NULL,
    action       VARCHAR(40)  NOT NULL,
    detail       TEXT
);

CREATE TABLE "检验项目字典" (
    "项目代码"  VARCHAR(20)   NOT NULL PRIMARY KEY,
    "项目名称"  VARCHAR(60)   NOT NULL,
    "英文缩写"  VARCHAR(20),
    "单位"      VARCHAR(20),
    "参考下限"  REAL,
    "参考上限"  REAL,
    "标本类型"  VARCHAR(20),
    "收费价格"  DECIMAL(12,2),
    "启用标志"  SMALLINT      NOT NULL,
    "备注"      TEXT
);

CREATE TABLE admission_record (
    admission_id  VARCHAR(20)  NOT NULL PRIMARY KEY,
    visit_id      INTEGER      NOT NULL,
    patient_id    VARCHAR(20)  NOT NULL,
    ward          VARCHAR(60)  NOT NULL,
    bed_no        VARCHAR(10),
    record_text   TEXT,                              -- from a few hundred bytes to over 64 KiB
    signed_by     VARCHAR(40),
    updated_at    TEXT         NOT NULL
);

CREATE TABLE scan_image (
    image_id     INTEGER      NOT NULL PRIMARY KEY,
    visit_id     INTEGER      NOT NULL,
    image_kind   VARCHAR(40)  NOT NULL,
    mime_type    VARCHAR(40)  NOT NULL,
    content      BLOB,
    scanned_at   TEXT         NOT NULL
);

-- Indexes: made when the rows are in, which is faster than keeping them up.
CREATE INDEX ix_visit_patient ON outpatient_visit (patient_id);
CREATE INDEX ix_lab_visit ON lab_result (visit_id);
CREATE INDEX ix_lab_patient ON lab_result (patient_id);
