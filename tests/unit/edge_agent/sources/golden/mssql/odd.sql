-- whole
SELECT t.[shape] FROM [his].[dbo].[odd] AS t;
