-- whole
SELECT t.[id] FROM [his].[dbo].[masked] AS t;

-- first page
SELECT TOP (1000) t.[id] FROM [his].[dbo].[masked] AS t ORDER BY t.[id];

-- page after
SELECT TOP (1000) t.[id] FROM [his].[dbo].[masked] AS t WHERE t.[id] > CONVERT(int, @p1) ORDER BY t.[id];
-- -1

-- page until
SELECT TOP (1000) t.[id] FROM [his].[dbo].[masked] AS t WHERE t.[id] <= CONVERT(int, @p1) ORDER BY t.[id];
-- 5

-- page between
SELECT TOP (7) t.[id] FROM [his].[dbo].[masked] AS t WHERE t.[id] > CONVERT(int, @p1) AND t.[id] <= CONVERT(int, @p2) ORDER BY t.[id];
-- -1
-- 5

-- present, one
SELECT t.[id] FROM [his].[dbo].[masked] AS t WHERE t.[id] IN (CONVERT(int, @p1));
-- -1

-- present, two
SELECT t.[id] FROM [his].[dbo].[masked] AS t WHERE t.[id] IN (CONVERT(int, @p1), CONVERT(int, @p2));
-- -1
-- 5

-- null key
SELECT TOP (1) t.[id] FROM [his].[dbo].[masked] AS t WHERE t.[id] IS NULL ORDER BY t.[id];

-- ties
SELECT TOP (2) t.[id] FROM [his].[dbo].[masked] AS t WHERE (t.[id] = CONVERT(int, @p1)) ORDER BY t.[id];
-- -1
