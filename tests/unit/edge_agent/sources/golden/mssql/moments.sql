-- whole
SELECT CONVERT(varchar(27), t.[a], 121), CONVERT(varchar(27), t.[b], 121), CONVERT(binary(8), t.[c]), CONVERT(char(36), t.[d]), CONVERT(varchar(41), t.[e]), CONVERT(varbinary(8000), t.[f]) FROM [his].[dbo].[moments] AS t;

-- first page
SELECT TOP (1000) CONVERT(varchar(27), t.[a], 121), CONVERT(varchar(27), t.[b], 121), CONVERT(binary(8), t.[c]), CONVERT(char(36), t.[d]), CONVERT(varchar(41), t.[e]), CONVERT(varbinary(8000), t.[f]) FROM [his].[dbo].[moments] AS t ORDER BY t.[a], t.[b], t.[c], t.[d], t.[e], t.[f];

-- page after
SELECT TOP (1000) CONVERT(varchar(27), t.[a], 121), CONVERT(varchar(27), t.[b], 121), CONVERT(binary(8), t.[c]), CONVERT(char(36), t.[d]), CONVERT(varchar(41), t.[e]), CONVERT(varbinary(8000), t.[f]) FROM [his].[dbo].[moments] AS t WHERE t.[a] >= CONVERT(datetime2(7), @p1, 121) AND ((t.[a] > CONVERT(datetime2(7), @p2, 121)) OR (t.[a] = CONVERT(datetime2(7), @p3, 121) AND t.[b] > CONVERT(datetime2(3), @p4, 121)) OR (t.[a] = CONVERT(datetime2(7), @p5, 121) AND t.[b] = CONVERT(datetime2(3), @p6, 121) AND t.[c] > CONVERT(binary(8), @p7)) OR (t.[a] = CONVERT(datetime2(7), @p8, 121) AND t.[b] = CONVERT(datetime2(3), @p9, 121) AND t.[c] = CONVERT(binary(8), @p10) AND t.[d] > CONVERT(uniqueidentifier, @p11)) OR (t.[a] = CONVERT(datetime2(7), @p12, 121) AND t.[b] = CONVERT(datetime2(3), @p13, 121) AND t.[c] = CONVERT(binary(8), @p14) AND t.[d] = CONVERT(uniqueidentifier, @p15) AND t.[e] > CONVERT(decimal(18,4), @p16)) OR (t.[a] = CONVERT(datetime2(7), @p17, 121) AND t.[b] = CONVERT(datetime2(3), @p18, 121) AND t.[c] = CONVERT(binary(8), @p19) AND t.[d] = CONVERT(uniqueidentifier, @p20) AND t.[e] = CONVERT(decimal(18,4), @p21) AND t.[f] > @p22)) ORDER BY t.[a], t.[b], t.[c], t.[d], t.[e], t.[f];
-- "a'张"
-- "a'张"
-- "a'张"
-- '1970-01-01 00:00:00'
-- "a'张"
-- '1970-01-01 00:00:00'
-- b'\x00\xff'
-- "a'张"
-- '1970-01-01 00:00:00'
-- b'\x00\xff'
-- "a'张"
-- "a'张"
-- '1970-01-01 00:00:00'
-- b'\x00\xff'
-- "a'张"
-- '-1'
-- "a'张"
-- '1970-01-01 00:00:00'
-- b'\x00\xff'
-- "a'张"
-- '-1'
-- "a'张"

-- page until
SELECT TOP (1000) CONVERT(varchar(27), t.[a], 121), CONVERT(varchar(27), t.[b], 121), CONVERT(binary(8), t.[c]), CONVERT(char(36), t.[d]), CONVERT(varchar(41), t.[e]), CONVERT(varbinary(8000), t.[f]) FROM [his].[dbo].[moments] AS t WHERE t.[a] <= CONVERT(datetime2(7), @p1, 121) AND ((t.[a] < CONVERT(datetime2(7), @p2, 121)) OR (t.[a] = CONVERT(datetime2(7), @p3, 121) AND t.[b] < CONVERT(datetime2(3), @p4, 121)) OR (t.[a] = CONVERT(datetime2(7), @p5, 121) AND t.[b] = CONVERT(datetime2(3), @p6, 121) AND t.[c] < CONVERT(binary(8), @p7)) OR (t.[a] = CONVERT(datetime2(7), @p8, 121) AND t.[b] = CONVERT(datetime2(3), @p9, 121) AND t.[c] = CONVERT(binary(8), @p10) AND t.[d] < CONVERT(uniqueidentifier, @p11)) OR (t.[a] = CONVERT(datetime2(7), @p12, 121) AND t.[b] = CONVERT(datetime2(3), @p13, 121) AND t.[c] = CONVERT(binary(8), @p14) AND t.[d] = CONVERT(uniqueidentifier, @p15) AND t.[e] < CONVERT(decimal(18,4), @p16)) OR (t.[a] = CONVERT(datetime2(7), @p17, 121) AND t.[b] = CONVERT(datetime2(3), @p18, 121) AND t.[c] = CONVERT(binary(8), @p19) AND t.[d] = CONVERT(uniqueidentifier, @p20) AND t.[e] = CONVERT(decimal(18,4), @p21) AND t.[f] <= @p22)) ORDER BY t.[a], t.[b], t.[c], t.[d], t.[e], t.[f];
-- 'z'
-- 'z'
-- 'z'
-- '2023-11-14 22:13:20.120000'
-- 'z'
-- '2023-11-14 22:13:20.120000'
-- b'ab'
-- 'z'
-- '2023-11-14 22:13:20.120000'
-- b'ab'
-- 'z'
-- 'z'
-- '2023-11-14 22:13:20.120000'
-- b'ab'
-- 'z'
-- '5'
-- 'z'
-- '2023-11-14 22:13:20.120000'
-- b'ab'
-- 'z'
-- '5'
-- 'z'

-- page between
SELECT TOP (7) CONVERT(varchar(27), t.[a], 121), CONVERT(varchar(27), t.[b], 121), CONVERT(binary(8), t.[c]), CONVERT(char(36), t.[d]), CONVERT(varchar(41), t.[e]), CONVERT(varbinary(8000), t.[f]) FROM [his].[dbo].[moments] AS t WHERE t.[a] >= CONVERT(datetime2(7), @p1, 121) AND ((t.[a] > CONVERT(datetime2(7), @p2, 121)) OR (t.[a] = CONVERT(datetime2(7), @p3, 121) AND t.[b] > CONVERT(datetime2(3), @p4, 121)) OR (t.[a] = CONVERT(datetime2(7), @p5, 121) AND t.[b] = CONVERT(datetime2(3), @p6, 121) AND t.[c] > CONVERT(binary(8), @p7)) OR (t.[a] = CONVERT(datetime2(7), @p8, 121) AND t.[b] = CONVERT(datetime2(3), @p9, 121) AND t.[c] = CONVERT(binary(8), @p10) AND t.[d] > CONVERT(uniqueidentifier, @p11)) OR (t.[a] = CONVERT(datetime2(7), @p12, 121) AND t.[b] = CONVERT(datetime2(3), @p13, 121) AND t.[c] = CONVERT(binary(8), @p14) AND t.[d] = CONVERT(uniqueidentifier, @p15) AND t.[e] > CONVERT(decimal(18,4), @p16)) OR (t.[a] = CONVERT(datetime2(7), @p17, 121) AND t.[b] = CONVERT(datetime2(3), @p18, 121) AND t.[c] = CONVERT(binary(8), @p19) AND t.[d] = CONVERT(uniqueidentifier, @p20) AND t.[e] = CONVERT(decimal(18,4), @p21) AND t.[f] > @p22)) AND t.[a] <= CONVERT(datetime2(7), @p23, 121) AND ((t.[a] < CONVERT(datetime2(7), @p24, 121)) OR (t.[a] = CONVERT(datetime2(7), @p25, 121) AND t.[b] < CONVERT(datetime2(3), @p26, 121)) OR (t.[a] = CONVERT(datetime2(7), @p27, 121) AND t.[b] = CONVERT(datetime2(3), @p28, 121) AND t.[c] < CONVERT(binary(8), @p29)) OR (t.[a] = CONVERT(datetime2(7), @p30, 121) AND t.[b] = CONVERT(datetime2(3), @p31, 121) AND t.[c] = CONVERT(binary(8), @p32) AND t.[d] < CONVERT(uniqueidentifier, @p33)) OR (t.[a] = CONVERT(datetime2(7), @p34, 121) AND t.[b] = CONVERT(datetime2(3), @p35, 121) AND t.[c] = CONVERT(binary(8), @p36) AND t.[d] = CONVERT(uniqueidentifier, @p37) AND t.[e] < CONVERT(decimal(18,4), @p38)) OR (t.[a] = CONVERT(datetime2(7), @p39, 121) AND t.[b] = CONVERT(datetime2(3), @p40, 121) AND t.[c] = CONVERT(binary(8), @p41) AND t.[d] = CONVERT(uniqueidentifier, @p42) AND t.[e] = CONVERT(decimal(18,4), @p43) AND t.[f] <= @p44)) ORDER BY t.[a], t.[b], t.[c], t.[d], t.[e], t.[f];
-- "a'张"
-- "a'张"
-- "a'张"
-- '1970-01-01 00:00:00'
-- "a'张"
-- '1970-01-01 00:00:00'
-- b'\x00\xff'
-- "a'张"
-- '1970-01-01 00:00:00'
-- b'\x00\xff'
-- "a'张"
-- "a'张"
-- '1970-01-01 00:00:00'
-- b'\x00\xff'
-- "a'张"
-- '-1'
-- "a'张"
-- '1970-01-01 00:00:00'
-- b'\x00\xff'
-- "a'张"
-- '-1'
-- "a'张"
-- 'z'
-- 'z'
-- 'z'
-- '2023-11-14 22:13:20.120000'
-- 'z'
-- '2023-11-14 22:13:20.120000'
-- b'ab'
-- 'z'
-- '2023-11-14 22:13:20.120000'
-- b'ab'
-- 'z'
-- 'z'
-- '2023-11-14 22:13:20.120000'
-- b'ab'
-- 'z'
-- '5'
-- 'z'
-- '2023-11-14 22:13:20.120000'
-- b'ab'
-- 'z'
-- '5'
-- 'z'

-- present, one
SELECT CONVERT(varchar(27), t.[a], 121), CONVERT(varchar(27), t.[b], 121), CONVERT(binary(8), t.[c]), CONVERT(char(36), t.[d]), CONVERT(varchar(41), t.[e]), CONVERT(varbinary(8000), t.[f]) FROM [his].[dbo].[moments] AS t WHERE (t.[a] = CONVERT(datetime2(7), @p1, 121) AND t.[b] = CONVERT(datetime2(3), @p2, 121) AND t.[c] = CONVERT(binary(8), @p3) AND t.[d] = CONVERT(uniqueidentifier, @p4) AND t.[e] = CONVERT(decimal(18,4), @p5) AND t.[f] = @p6);
-- "a'张"
-- '1970-01-01 00:00:00'
-- b'\x00\xff'
-- "a'张"
-- '-1'
-- "a'张"

-- present, two
SELECT CONVERT(varchar(27), t.[a], 121), CONVERT(varchar(27), t.[b], 121), CONVERT(binary(8), t.[c]), CONVERT(char(36), t.[d]), CONVERT(varchar(41), t.[e]), CONVERT(varbinary(8000), t.[f]) FROM [his].[dbo].[moments] AS t WHERE (t.[a] = CONVERT(datetime2(7), @p1, 121) AND t.[b] = CONVERT(datetime2(3), @p2, 121) AND t.[c] = CONVERT(binary(8), @p3) AND t.[d] = CONVERT(uniqueidentifier, @p4) AND t.[e] = CONVERT(decimal(18,4), @p5) AND t.[f] = @p6) OR (t.[a] = CONVERT(datetime2(7), @p7, 121) AND t.[b] = CONVERT(datetime2(3), @p8, 121) AND t.[c] = CONVERT(binary(8), @p9) AND t.[d] = CONVERT(uniqueidentifier, @p10) AND t.[e] = CONVERT(decimal(18,4), @p11) AND t.[f] = @p12);
-- "a'张"
-- '1970-01-01 00:00:00'
-- b'\x00\xff'
-- "a'张"
-- '-1'
-- "a'张"
-- 'z'
-- '2023-11-14 22:13:20.120000'
-- b'ab'
-- 'z'
-- '5'
-- 'z'

-- null key
SELECT TOP (1) CONVERT(varchar(27), t.[a], 121), CONVERT(varchar(27), t.[b], 121), CONVERT(binary(8), t.[c]), CONVERT(char(36), t.[d]), CONVERT(varchar(41), t.[e]), CONVERT(varbinary(8000), t.[f]) FROM [his].[dbo].[moments] AS t WHERE t.[a] IS NULL OR t.[b] IS NULL OR t.[c] IS NULL OR t.[d] IS NULL OR t.[e] IS NULL OR t.[f] IS NULL ORDER BY t.[a];

-- ties
SELECT TOP (2) CONVERT(varchar(27), t.[a], 121), CONVERT(varchar(27), t.[b], 121), CONVERT(binary(8), t.[c]), CONVERT(char(36), t.[d]), CONVERT(varchar(41), t.[e]), CONVERT(varbinary(8000), t.[f]) FROM [his].[dbo].[moments] AS t WHERE (t.[a] = CONVERT(datetime2(7), @p1, 121) AND t.[b] = CONVERT(datetime2(3), @p2, 121) AND t.[c] = CONVERT(binary(8), @p3) AND t.[d] = CONVERT(uniqueidentifier, @p4) AND t.[e] = CONVERT(decimal(18,4), @p5) AND t.[f] = @p6) ORDER BY t.[a];
-- "a'张"
-- '1970-01-01 00:00:00'
-- b'\x00\xff'
-- "a'张"
-- '-1'
-- "a'张"
