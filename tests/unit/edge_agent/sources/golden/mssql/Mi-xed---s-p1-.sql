-- whole
SELECT t.[no], CONVERT(char(23), t.[day], 121), CONVERT(varbinary(8000), t.[编]]码]) FROM [his].[dbo].[Mi]]xed [%s@p1'] AS t;

-- first page
SELECT TOP (1000) t.[no], CONVERT(char(23), t.[day], 121), CONVERT(varbinary(8000), t.[编]]码]) FROM [his].[dbo].[Mi]]xed [%s@p1'] AS t ORDER BY t.[编]]码], t.[day], t.[no];

-- page after
SELECT TOP (1000) t.[no], CONVERT(char(23), t.[day], 121), CONVERT(varbinary(8000), t.[编]]码]) FROM [his].[dbo].[Mi]]xed [%s@p1'] AS t WHERE t.[编]]码] >= CONVERT(varchar(8000), @p1 COLLATE Chinese_PRC_CI_AS) AND ((t.[编]]码] > CONVERT(varchar(8000), @p2 COLLATE Chinese_PRC_CI_AS)) OR (t.[编]]码] = CONVERT(varchar(8000), @p3 COLLATE Chinese_PRC_CI_AS) AND t.[day] > CONVERT(datetime, @p4, 121)) OR (t.[编]]码] = CONVERT(varchar(8000), @p5 COLLATE Chinese_PRC_CI_AS) AND t.[day] = CONVERT(datetime, @p6, 121) AND t.[no] > CONVERT(int, @p7))) ORDER BY t.[编]]码], t.[day], t.[no];
-- "a'张"
-- "a'张"
-- "a'张"
-- '1970-01-01 00:00:00'
-- "a'张"
-- '1970-01-01 00:00:00'
-- -1

-- page until
SELECT TOP (1000) t.[no], CONVERT(char(23), t.[day], 121), CONVERT(varbinary(8000), t.[编]]码]) FROM [his].[dbo].[Mi]]xed [%s@p1'] AS t WHERE t.[编]]码] <= CONVERT(varchar(8000), @p1 COLLATE Chinese_PRC_CI_AS) AND ((t.[编]]码] < CONVERT(varchar(8000), @p2 COLLATE Chinese_PRC_CI_AS)) OR (t.[编]]码] = CONVERT(varchar(8000), @p3 COLLATE Chinese_PRC_CI_AS) AND t.[day] < CONVERT(datetime, @p4, 121)) OR (t.[编]]码] = CONVERT(varchar(8000), @p5 COLLATE Chinese_PRC_CI_AS) AND t.[day] = CONVERT(datetime, @p6, 121) AND t.[no] <= CONVERT(int, @p7))) ORDER BY t.[编]]码], t.[day], t.[no];
-- 'z'
-- 'z'
-- 'z'
-- '2023-11-14 22:13:20.120'
-- 'z'
-- '2023-11-14 22:13:20.120'
-- 5

-- page between
SELECT TOP (7) CONVERT(varbinary(8000), t.[编]]码]), CONVERT(char(23), t.[day], 121), t.[no] FROM [his].[dbo].[Mi]]xed [%s@p1'] AS t WHERE t.[编]]码] >= CONVERT(varchar(8000), @p1 COLLATE Chinese_PRC_CI_AS) AND ((t.[编]]码] > CONVERT(varchar(8000), @p2 COLLATE Chinese_PRC_CI_AS)) OR (t.[编]]码] = CONVERT(varchar(8000), @p3 COLLATE Chinese_PRC_CI_AS) AND t.[day] > CONVERT(datetime, @p4, 121)) OR (t.[编]]码] = CONVERT(varchar(8000), @p5 COLLATE Chinese_PRC_CI_AS) AND t.[day] = CONVERT(datetime, @p6, 121) AND t.[no] > CONVERT(int, @p7))) AND t.[编]]码] <= CONVERT(varchar(8000), @p8 COLLATE Chinese_PRC_CI_AS) AND ((t.[编]]码] < CONVERT(varchar(8000), @p9 COLLATE Chinese_PRC_CI_AS)) OR (t.[编]]码] = CONVERT(varchar(8000), @p10 COLLATE Chinese_PRC_CI_AS) AND t.[day] < CONVERT(datetime, @p11, 121)) OR (t.[编]]码] = CONVERT(varchar(8000), @p12 COLLATE Chinese_PRC_CI_AS) AND t.[day] = CONVERT(datetime, @p13, 121) AND t.[no] <= CONVERT(int, @p14))) ORDER BY t.[编]]码], t.[day], t.[no];
-- "a'张"
-- "a'张"
-- "a'张"
-- '1970-01-01 00:00:00'
-- "a'张"
-- '1970-01-01 00:00:00'
-- -1
-- 'z'
-- 'z'
-- 'z'
-- '2023-11-14 22:13:20.120'
-- 'z'
-- '2023-11-14 22:13:20.120'
-- 5

-- present, one
SELECT CONVERT(varbinary(8000), t.[编]]码]), CONVERT(char(23), t.[day], 121), t.[no] FROM [his].[dbo].[Mi]]xed [%s@p1'] AS t WHERE (t.[编]]码] = CONVERT(varchar(8000), @p1 COLLATE Chinese_PRC_CI_AS) AND t.[day] = CONVERT(datetime, @p2, 121) AND t.[no] = CONVERT(int, @p3));
-- "a'张"
-- '1970-01-01 00:00:00'
-- -1

-- present, two
SELECT CONVERT(varbinary(8000), t.[编]]码]), CONVERT(char(23), t.[day], 121), t.[no] FROM [his].[dbo].[Mi]]xed [%s@p1'] AS t WHERE (t.[编]]码] = CONVERT(varchar(8000), @p1 COLLATE Chinese_PRC_CI_AS) AND t.[day] = CONVERT(datetime, @p2, 121) AND t.[no] = CONVERT(int, @p3)) OR (t.[编]]码] = CONVERT(varchar(8000), @p4 COLLATE Chinese_PRC_CI_AS) AND t.[day] = CONVERT(datetime, @p5, 121) AND t.[no] = CONVERT(int, @p6));
-- "a'张"
-- '1970-01-01 00:00:00'
-- -1
-- 'z'
-- '2023-11-14 22:13:20.120'
-- 5

-- null key
SELECT TOP (1) CONVERT(varbinary(8000), t.[编]]码]), CONVERT(char(23), t.[day], 121), t.[no] FROM [his].[dbo].[Mi]]xed [%s@p1'] AS t WHERE t.[编]]码] IS NULL OR t.[day] IS NULL OR t.[no] IS NULL ORDER BY t.[编]]码];

-- ties
SELECT TOP (2) CONVERT(varbinary(8000), t.[编]]码]), CONVERT(char(23), t.[day], 121), t.[no] FROM [his].[dbo].[Mi]]xed [%s@p1'] AS t WHERE (t.[编]]码] = CONVERT(varchar(8000), @p1 COLLATE Chinese_PRC_CI_AS) AND t.[day] = CONVERT(datetime, @p2, 121) AND t.[no] = CONVERT(int, @p3)) ORDER BY t.[编]]码];
-- "a'张"
-- '1970-01-01 00:00:00'
-- -1
