-- whole
SELECT CAST(t."no" AS VARCHAR(128)), TO_CHAR(t."day", 'YYYY-MM-DD HH24:MI:SS.FF6'), t."编""码" FROM "HIS"."Mi""xed %s?" t;

-- first page
SELECT CAST(t."no" AS VARCHAR(128)), TO_CHAR(t."day", 'YYYY-MM-DD HH24:MI:SS.FF6'), t."编""码" FROM "HIS"."Mi""xed %s?" t ORDER BY t."编""码", t."day", t."no" LIMIT 1000;

-- page after
SELECT CAST(t."no" AS VARCHAR(128)), TO_CHAR(t."day", 'YYYY-MM-DD HH24:MI:SS.FF6'), t."编""码" FROM "HIS"."Mi""xed %s?" t WHERE t."编""码" >= ? AND ((t."编""码" > ?) OR (t."编""码" = ? AND t."day" > CAST(? AS TIMESTAMP(6))) OR (t."编""码" = ? AND t."day" = CAST(? AS TIMESTAMP(6)) AND t."no" > CAST(? AS NUMBER(10,0)))) ORDER BY t."编""码", t."day", t."no" LIMIT 1000;
-- "a'张"
-- "a'张"
-- "a'张"
-- '1970-01-01 00:00:00'
-- "a'张"
-- '1970-01-01 00:00:00'
-- '-1'

-- page until
SELECT CAST(t."no" AS VARCHAR(128)), TO_CHAR(t."day", 'YYYY-MM-DD HH24:MI:SS.FF6'), t."编""码" FROM "HIS"."Mi""xed %s?" t WHERE t."编""码" <= ? AND ((t."编""码" < ?) OR (t."编""码" = ? AND t."day" < CAST(? AS TIMESTAMP(6))) OR (t."编""码" = ? AND t."day" = CAST(? AS TIMESTAMP(6)) AND t."no" <= CAST(? AS NUMBER(10,0)))) ORDER BY t."编""码", t."day", t."no" LIMIT 1000;
-- 'z'
-- 'z'
-- 'z'
-- '2023-11-14 22:13:20.120000'
-- 'z'
-- '2023-11-14 22:13:20.120000'
-- '5'

-- page between
SELECT t."编""码", TO_CHAR(t."day", 'YYYY-MM-DD HH24:MI:SS.FF6'), CAST(t."no" AS VARCHAR(128)) FROM "HIS"."Mi""xed %s?" t WHERE t."编""码" >= ? AND ((t."编""码" > ?) OR (t."编""码" = ? AND t."day" > CAST(? AS TIMESTAMP(6))) OR (t."编""码" = ? AND t."day" = CAST(? AS TIMESTAMP(6)) AND t."no" > CAST(? AS NUMBER(10,0)))) AND t."编""码" <= ? AND ((t."编""码" < ?) OR (t."编""码" = ? AND t."day" < CAST(? AS TIMESTAMP(6))) OR (t."编""码" = ? AND t."day" = CAST(? AS TIMESTAMP(6)) AND t."no" <= CAST(? AS NUMBER(10,0)))) ORDER BY t."编""码", t."day", t."no" LIMIT 7;
-- "a'张"
-- "a'张"
-- "a'张"
-- '1970-01-01 00:00:00'
-- "a'张"
-- '1970-01-01 00:00:00'
-- '-1'
-- 'z'
-- 'z'
-- 'z'
-- '2023-11-14 22:13:20.120000'
-- 'z'
-- '2023-11-14 22:13:20.120000'
-- '5'

-- present, one
SELECT t."编""码", TO_CHAR(t."day", 'YYYY-MM-DD HH24:MI:SS.FF6'), CAST(t."no" AS VARCHAR(128)) FROM "HIS"."Mi""xed %s?" t WHERE (t."编""码" = ? AND t."day" = CAST(? AS TIMESTAMP(6)) AND t."no" = CAST(? AS NUMBER(10,0)));
-- "a'张"
-- '1970-01-01 00:00:00'
-- '-1'

-- present, two
SELECT t."编""码", TO_CHAR(t."day", 'YYYY-MM-DD HH24:MI:SS.FF6'), CAST(t."no" AS VARCHAR(128)) FROM "HIS"."Mi""xed %s?" t WHERE (t."编""码" = ? AND t."day" = CAST(? AS TIMESTAMP(6)) AND t."no" = CAST(? AS NUMBER(10,0))) OR (t."编""码" = ? AND t."day" = CAST(? AS TIMESTAMP(6)) AND t."no" = CAST(? AS NUMBER(10,0)));
-- "a'张"
-- '1970-01-01 00:00:00'
-- '-1'
-- 'z'
-- '2023-11-14 22:13:20.120000'
-- '5'

-- null key
SELECT t."编""码", TO_CHAR(t."day", 'YYYY-MM-DD HH24:MI:SS.FF6'), CAST(t."no" AS VARCHAR(128)) FROM "HIS"."Mi""xed %s?" t WHERE t."编""码" IS NULL OR t."day" IS NULL OR t."no" IS NULL ORDER BY t."编""码" LIMIT 1;

-- ties
SELECT t."编""码", TO_CHAR(t."day", 'YYYY-MM-DD HH24:MI:SS.FF6'), CAST(t."no" AS VARCHAR(128)) FROM "HIS"."Mi""xed %s?" t WHERE (t."编""码" = ? AND t."day" = CAST(? AS TIMESTAMP(6)) AND t."no" = CAST(? AS NUMBER(10,0))) ORDER BY t."编""码" LIMIT 2;
-- "a'张"
-- '1970-01-01 00:00:00'
-- '-1'
