-- whole
SELECT TO_CHAR(t."no", 'TM9', 'NLS_NUMERIC_CHARACTERS=''.,''') AS "no", LTRIM(TO_CHAR(t."day", 'SYYYY-MM-DD HH24:MI:SS')) AS "day", UTL_RAW.CAST_TO_RAW(t."编码") AS "编码" FROM "HIS"."Mixed %s:x" t;

-- first page
SELECT * FROM (SELECT TO_CHAR(t."no", 'TM9', 'NLS_NUMERIC_CHARACTERS=''.,''') AS "no", LTRIM(TO_CHAR(t."day", 'SYYYY-MM-DD HH24:MI:SS')) AS "day", UTL_RAW.CAST_TO_RAW(t."编码") AS "编码" FROM "HIS"."Mixed %s:x" t ORDER BY t."编码", t."day", t."no") WHERE ROWNUM <= 1000;

-- page after
SELECT * FROM (SELECT TO_CHAR(t."no", 'TM9', 'NLS_NUMERIC_CHARACTERS=''.,''') AS "no", LTRIM(TO_CHAR(t."day", 'SYYYY-MM-DD HH24:MI:SS')) AS "day", UTL_RAW.CAST_TO_RAW(t."编码") AS "编码" FROM "HIS"."Mixed %s:x" t WHERE t."编码" >= UTL_RAW.CAST_TO_VARCHAR2(HEXTORAW(:1)) AND ((t."编码" > UTL_RAW.CAST_TO_VARCHAR2(HEXTORAW(:2))) OR (t."编码" = UTL_RAW.CAST_TO_VARCHAR2(HEXTORAW(:3)) AND t."day" > TO_DATE(:4, 'SYYYY-MM-DD HH24:MI:SS')) OR (t."编码" = UTL_RAW.CAST_TO_VARCHAR2(HEXTORAW(:5)) AND t."day" = TO_DATE(:6, 'SYYYY-MM-DD HH24:MI:SS') AND t."no" > TO_NUMBER(:7))) ORDER BY t."编码", t."day", t."no") WHERE ROWNUM <= 1000;
-- '6127D5C5'
-- '6127D5C5'
-- '6127D5C5'
-- '1970-01-01 00:00:00'
-- '6127D5C5'
-- '1970-01-01 00:00:00'
-- '-1'

-- page until
SELECT * FROM (SELECT TO_CHAR(t."no", 'TM9', 'NLS_NUMERIC_CHARACTERS=''.,''') AS "no", LTRIM(TO_CHAR(t."day", 'SYYYY-MM-DD HH24:MI:SS')) AS "day", UTL_RAW.CAST_TO_RAW(t."编码") AS "编码" FROM "HIS"."Mixed %s:x" t WHERE t."编码" <= UTL_RAW.CAST_TO_VARCHAR2(HEXTORAW(:1)) AND ((t."编码" < UTL_RAW.CAST_TO_VARCHAR2(HEXTORAW(:2))) OR (t."编码" = UTL_RAW.CAST_TO_VARCHAR2(HEXTORAW(:3)) AND t."day" < TO_DATE(:4, 'SYYYY-MM-DD HH24:MI:SS')) OR (t."编码" = UTL_RAW.CAST_TO_VARCHAR2(HEXTORAW(:5)) AND t."day" = TO_DATE(:6, 'SYYYY-MM-DD HH24:MI:SS') AND t."no" <= TO_NUMBER(:7))) ORDER BY t."编码", t."day", t."no") WHERE ROWNUM <= 1000;
-- '7A'
-- '7A'
-- '7A'
-- '2023-11-14 22:13:20.120000'
-- '7A'
-- '2023-11-14 22:13:20.120000'
-- '5'

-- page between
SELECT * FROM (SELECT UTL_RAW.CAST_TO_RAW(t."编码") AS "编码", LTRIM(TO_CHAR(t."day", 'SYYYY-MM-DD HH24:MI:SS')) AS "day", TO_CHAR(t."no", 'TM9', 'NLS_NUMERIC_CHARACTERS=''.,''') AS "no" FROM "HIS"."Mixed %s:x" t WHERE t."编码" >= UTL_RAW.CAST_TO_VARCHAR2(HEXTORAW(:1)) AND ((t."编码" > UTL_RAW.CAST_TO_VARCHAR2(HEXTORAW(:2))) OR (t."编码" = UTL_RAW.CAST_TO_VARCHAR2(HEXTORAW(:3)) AND t."day" > TO_DATE(:4, 'SYYYY-MM-DD HH24:MI:SS')) OR (t."编码" = UTL_RAW.CAST_TO_VARCHAR2(HEXTORAW(:5)) AND t."day" = TO_DATE(:6, 'SYYYY-MM-DD HH24:MI:SS') AND t."no" > TO_NUMBER(:7))) AND t."编码" <= UTL_RAW.CAST_TO_VARCHAR2(HEXTORAW(:8)) AND ((t."编码" < UTL_RAW.CAST_TO_VARCHAR2(HEXTORAW(:9))) OR (t."编码" = UTL_RAW.CAST_TO_VARCHAR2(HEXTORAW(:10)) AND t."day" < TO_DATE(:11, 'SYYYY-MM-DD HH24:MI:SS')) OR (t."编码" = UTL_RAW.CAST_TO_VARCHAR2(HEXTORAW(:12)) AND t."day" = TO_DATE(:13, 'SYYYY-MM-DD HH24:MI:SS') AND t."no" <= TO_NUMBER(:14))) ORDER BY t."编码", t."day", t."no") WHERE ROWNUM <= 7;
-- '6127D5C5'
-- '6127D5C5'
-- '6127D5C5'
-- '1970-01-01 00:00:00'
-- '6127D5C5'
-- '1970-01-01 00:00:00'
-- '-1'
-- '7A'
-- '7A'
-- '7A'
-- '2023-11-14 22:13:20.120000'
-- '7A'
-- '2023-11-14 22:13:20.120000'
-- '5'

-- present, one
SELECT UTL_RAW.CAST_TO_RAW(t."编码") AS "编码", LTRIM(TO_CHAR(t."day", 'SYYYY-MM-DD HH24:MI:SS')) AS "day", TO_CHAR(t."no", 'TM9', 'NLS_NUMERIC_CHARACTERS=''.,''') AS "no" FROM "HIS"."Mixed %s:x" t WHERE (t."编码" = UTL_RAW.CAST_TO_VARCHAR2(HEXTORAW(:1)) AND t."day" = TO_DATE(:2, 'SYYYY-MM-DD HH24:MI:SS') AND t."no" = TO_NUMBER(:3));
-- '6127D5C5'
-- '1970-01-01 00:00:00'
-- '-1'

-- present, two
SELECT UTL_RAW.CAST_TO_RAW(t."编码") AS "编码", LTRIM(TO_CHAR(t."day", 'SYYYY-MM-DD HH24:MI:SS')) AS "day", TO_CHAR(t."no", 'TM9', 'NLS_NUMERIC_CHARACTERS=''.,''') AS "no" FROM "HIS"."Mixed %s:x" t WHERE (t."编码" = UTL_RAW.CAST_TO_VARCHAR2(HEXTORAW(:1)) AND t."day" = TO_DATE(:2, 'SYYYY-MM-DD HH24:MI:SS') AND t."no" = TO_NUMBER(:3)) OR (t."编码" = UTL_RAW.CAST_TO_VARCHAR2(HEXTORAW(:4)) AND t."day" = TO_DATE(:5, 'SYYYY-MM-DD HH24:MI:SS') AND t."no" = TO_NUMBER(:6));
-- '6127D5C5'
-- '1970-01-01 00:00:00'
-- '-1'
-- '7A'
-- '2023-11-14 22:13:20.120000'
-- '5'

-- null key
SELECT * FROM (SELECT UTL_RAW.CAST_TO_RAW(t."编码") AS "编码", LTRIM(TO_CHAR(t."day", 'SYYYY-MM-DD HH24:MI:SS')) AS "day", TO_CHAR(t."no", 'TM9', 'NLS_NUMERIC_CHARACTERS=''.,''') AS "no" FROM "HIS"."Mixed %s:x" t WHERE t."编码" IS NULL OR t."day" IS NULL OR t."no" IS NULL ORDER BY t."编码") WHERE ROWNUM <= 1;

-- ties
SELECT * FROM (SELECT UTL_RAW.CAST_TO_RAW(t."编码") AS "编码", LTRIM(TO_CHAR(t."day", 'SYYYY-MM-DD HH24:MI:SS')) AS "day", TO_CHAR(t."no", 'TM9', 'NLS_NUMERIC_CHARACTERS=''.,''') AS "no" FROM "HIS"."Mixed %s:x" t WHERE (t."编码" = UTL_RAW.CAST_TO_VARCHAR2(HEXTORAW(:1)) AND t."day" = TO_DATE(:2, 'SYYYY-MM-DD HH24:MI:SS') AND t."no" = TO_NUMBER(:3)) ORDER BY t."编码") WHERE ROWNUM <= 2;
-- '6127D5C5'
-- '1970-01-01 00:00:00'
-- '-1'
