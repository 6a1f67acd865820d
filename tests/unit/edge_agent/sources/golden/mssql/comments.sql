SELECT c.name, CAST(SQL_VARIANT_PROPERTY(p.value, 'BaseType') AS nvarchar(128)),
    CAST(COLLATIONPROPERTY(CAST(SQL_VARIANT_PROPERTY(p.value, 'Collation') AS nvarchar(128)), 'CodePage') AS int),
    CONVERT(varbinary(8000), p.value)
FROM sys.extended_properties p
JOIN sys.tables t ON t.object_id = p.major_id
JOIN sys.schemas s ON s.schema_id = t.schema_id
LEFT JOIN sys.columns c ON c.object_id = p.major_id AND c.column_id = p.minor_id
WHERE p.class = 1 AND p.name = N'MS_Description' AND (p.minor_id = 0 OR c.column_id IS NOT NULL)
    AND p.value IS NOT NULL
 AND s.name = @p1 AND t.name = @p2;
-- 'dbo'
-- 'kinds'
