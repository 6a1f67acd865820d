-- whole
SELECT TO_CHAR(t."就诊号", 'TM9', 'NLS_NUMERIC_CHARACTERS=''.,''') AS "就诊号", UTL_RAW.CAST_TO_RAW(t."姓名") AS "姓名" FROM "HIS"."就诊" t;

-- first page
SELECT * FROM (SELECT TO_CHAR(t."就诊号", 'TM9', 'NLS_NUMERIC_CHARACTERS=''.,''') AS "就诊号", UTL_RAW.CAST_TO_RAW(t."姓名") AS "姓名" FROM "HIS"."就诊" t ORDER BY t."就诊号") WHERE ROWNUM <= 1000;

-- page after
SELECT * FROM (SELECT TO_CHAR(t."就诊号", 'TM9', 'NLS_NUMERIC_CHARACTERS=''.,''') AS "就诊号", UTL_RAW.CAST_TO_RAW(t."姓名") AS "姓名" FROM "HIS"."就诊" t WHERE t."就诊号" > TO_NUMBER(:1) ORDER BY t."就诊号") WHERE ROWNUM <= 1000;
-- '-1'

-- page until
SELECT * FROM (SELECT TO_CHAR(t."就诊号", 'TM9', 'NLS_NUMERIC_CHARACTERS=''.,''') AS "就诊号", UTL_RAW.CAST_TO_RAW(t."姓名") AS "姓名" FROM "HIS"."就诊" t WHERE t."就诊号" <= TO_NUMBER(:1) ORDER BY t."就诊号") WHERE ROWNUM <= 1000;
-- '5'

-- page between
SELECT * FROM (SELECT TO_CHAR(t."就诊号", 'TM9', 'NLS_NUMERIC_CHARACTERS=''.,''') AS "就诊号" FROM "HIS"."就诊" t WHERE t."就诊号" > TO_NUMBER(:1) AND t."就诊号" <= TO_NUMBER(:2) ORDER BY t."就诊号") WHERE ROWNUM <= 7;
-- '-1'
-- '5'

-- present, one
SELECT TO_CHAR(t."就诊号", 'TM9', 'NLS_NUMERIC_CHARACTERS=''.,''') AS "就诊号" FROM "HIS"."就诊" t WHERE t."就诊号" IN (TO_NUMBER(:1));
-- '-1'

-- present, two
SELECT TO_CHAR(t."就诊号", 'TM9', 'NLS_NUMERIC_CHARACTERS=''.,''') AS "就诊号" FROM "HIS"."就诊" t WHERE t."就诊号" IN (TO_NUMBER(:1), TO_NUMBER(:2));
-- '-1'
-- '5'

-- null key
SELECT * FROM (SELECT TO_CHAR(t."就诊号", 'TM9', 'NLS_NUMERIC_CHARACTERS=''.,''') AS "就诊号" FROM "HIS"."就诊" t WHERE t."就诊号" IS NULL ORDER BY t."就诊号") WHERE ROWNUM <= 1;

-- ties
SELECT * FROM (SELECT TO_CHAR(t."就诊号", 'TM9', 'NLS_NUMERIC_CHARACTERS=''.,''') AS "就诊号" FROM "HIS"."就诊" t WHERE (t."就诊号" = TO_NUMBER(:1)) ORDER BY t."就诊号") WHERE ROWNUM <= 2;
-- '-1'
