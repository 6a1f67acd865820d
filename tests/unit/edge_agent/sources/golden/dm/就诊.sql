-- whole
SELECT t."就诊号", t."姓名" FROM "HIS"."就诊" t;

-- first page
SELECT t."就诊号", t."姓名" FROM "HIS"."就诊" t ORDER BY t."就诊号" LIMIT 1000;

-- page after
SELECT t."就诊号", t."姓名" FROM "HIS"."就诊" t WHERE t."就诊号" > ? ORDER BY t."就诊号" LIMIT 1000;
-- -1

-- page until
SELECT t."就诊号", t."姓名" FROM "HIS"."就诊" t WHERE t."就诊号" <= ? ORDER BY t."就诊号" LIMIT 1000;
-- 5

-- page between
SELECT t."就诊号" FROM "HIS"."就诊" t WHERE t."就诊号" > ? AND t."就诊号" <= ? ORDER BY t."就诊号" LIMIT 7;
-- -1
-- 5

-- present, one
SELECT t."就诊号" FROM "HIS"."就诊" t WHERE t."就诊号" IN (?);
-- -1

-- present, two
SELECT t."就诊号" FROM "HIS"."就诊" t WHERE t."就诊号" IN (?, ?);
-- -1
-- 5

-- null key
SELECT t."就诊号" FROM "HIS"."就诊" t WHERE t."就诊号" IS NULL ORDER BY t."就诊号" LIMIT 1;

-- ties
SELECT t."就诊号" FROM "HIS"."就诊" t WHERE (t."就诊号" = ?) ORDER BY t."就诊号" LIMIT 2;
-- -1
