-- whole
SELECT t.[就诊号], CONVERT(varbinary(8000), t.[姓名]) FROM [his].[dbo].[就诊] AS t;

-- first page
SELECT TOP (1000) t.[就诊号], CONVERT(varbinary(8000), t.[姓名]) FROM [his].[dbo].[就诊] AS t ORDER BY t.[就诊号];

-- page after
SELECT TOP (1000) t.[就诊号], CONVERT(varbinary(8000), t.[姓名]) FROM [his].[dbo].[就诊] AS t WHERE t.[就诊号] > CONVERT(bigint, @p1) ORDER BY t.[就诊号];
-- -1

-- page until
SELECT TOP (1000) t.[就诊号], CONVERT(varbinary(8000), t.[姓名]) FROM [his].[dbo].[就诊] AS t WHERE t.[就诊号] <= CONVERT(bigint, @p1) ORDER BY t.[就诊号];
-- 5

-- page between
SELECT TOP (7) t.[就诊号] FROM [his].[dbo].[就诊] AS t WHERE t.[就诊号] > CONVERT(bigint, @p1) AND t.[就诊号] <= CONVERT(bigint, @p2) ORDER BY t.[就诊号];
-- -1
-- 5

-- present, one
SELECT t.[就诊号] FROM [his].[dbo].[就诊] AS t WHERE t.[就诊号] IN (CONVERT(bigint, @p1));
-- -1

-- present, two
SELECT t.[就诊号] FROM [his].[dbo].[就诊] AS t WHERE t.[就诊号] IN (CONVERT(bigint, @p1), CONVERT(bigint, @p2));
-- -1
-- 5

-- null key
SELECT TOP (1) t.[就诊号] FROM [his].[dbo].[就诊] AS t WHERE t.[就诊号] IS NULL ORDER BY t.[就诊号];

-- ties
SELECT TOP (2) t.[就诊号] FROM [his].[dbo].[就诊] AS t WHERE (t.[就诊号] = CONVERT(bigint, @p1)) ORDER BY t.[就诊号];
-- -1
