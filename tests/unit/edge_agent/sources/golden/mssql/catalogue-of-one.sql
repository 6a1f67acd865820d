SELECT DB_NAME(), s.name, t.name,
    (SELECT CAST(SUM(p.rows) AS bigint) FROM sys.partitions p
        WHERE p.object_id = t.object_id AND p.index_id IN (0, 1)),
    c.name, TYPE_NAME(CASE c.system_type_id WHEN 240 THEN c.user_type_id ELSE c.system_type_id END),
    CAST(c.max_length AS int), CAST(c.precision AS int), CAST(c.scale AS int), CAST(c.is_nullable AS int),
    c.collation_name, CAST(COLLATIONPROPERTY(c.collation_name, 'CodePage') AS int)
FROM sys.tables t
JOIN sys.schemas s ON s.schema_id = t.schema_id
JOIN sys.columns c ON c.object_id = t.object_id
WHERE t.is_ms_shipped = 0
 AND s.name = @p1 AND t.name = @p2 ORDER BY s.name, t.name, c.column_id;
-- 'dbo'
-- 'kinds'

SELECT s.name, t.name, CAST(i.index_id AS int), CAST(i.is_primary_key AS int), c.name
FROM sys.indexes i
JOIN sys.tables t ON t.object_id = i.object_id
JOIN sys.schemas s ON s.schema_id = t.schema_id
JOIN sys.index_columns k ON k.object_id = i.object_id AND k.index_id = i.index_id AND k.key_ordinal > 0
JOIN sys.columns c ON c.object_id = k.object_id AND c.column_id = k.column_id
WHERE i.is_unique = 1 AND i.has_filter = 0 AND i.is_disabled = 0 AND i.is_hypothetical = 0
    AND t.is_ms_shipped = 0
 AND s.name = @p1 AND t.name = @p2 ORDER BY s.name, t.name, i.is_primary_key DESC, i.index_id, k.key_ordinal;
-- 'dbo'
-- 'kinds'

SELECT OBJECT_ID('sys.masked_columns'), OBJECT_ID('sys.security_predicates');

SELECT OBJECT_SCHEMA_NAME(m.object_id), OBJECT_NAME(m.object_id) FROM sys.masked_columns m
WHERE m.is_masked = 1 AND HAS_PERMS_BY_NAME(DB_NAME(), 'DATABASE', 'UNMASK') = 0;

SELECT OBJECT_SCHEMA_NAME(p.target_object_id), OBJECT_NAME(p.target_object_id)
FROM sys.security_predicates p JOIN sys.security_policies y ON y.object_id = p.object_id
WHERE p.predicate_type = 0 AND y.is_enabled = 1;
