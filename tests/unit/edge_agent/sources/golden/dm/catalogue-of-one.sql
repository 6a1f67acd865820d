SELECT c.owner, c.table_name, t.num_rows, c.column_name, c.data_type, c.data_length, c.data_precision,
    c.data_scale, c.nullable
FROM all_tables t
JOIN all_tab_columns c ON c.owner = t.owner AND c.table_name = t.table_name
WHERE t.temporary = 'N' AND t.owner NOT IN ('SYS', 'SYSAUDITOR', 'SYSSSO', 'SYSJOB', 'CTISYS')
 AND c.owner = ? AND c.table_name = ? ORDER BY c.owner, c.table_name, c.column_id;
-- 'HIS'
-- 'KINDS'

SELECT k.owner, k.table_name, k.constraint_name, k.constraint_type, c.column_name
FROM all_constraints k
JOIN all_cons_columns c ON c.owner = k.owner AND c.constraint_name = k.constraint_name
    AND c.table_name = k.table_name
WHERE k.constraint_type IN ('P', 'U') AND k.status = 'ENABLED' AND k.owner NOT IN ('SYS', 'SYSAUDITOR', 'SYSSSO', 'SYSJOB', 'CTISYS')
 AND k.owner = ? AND k.table_name = ? ORDER BY k.owner, k.table_name, k.constraint_type, k.constraint_name, c.position;
-- 'HIS'
-- 'KINDS'
