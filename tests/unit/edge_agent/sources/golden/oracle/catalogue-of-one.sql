SELECT c.owner, c.table_name, TO_CHAR(t.num_rows), c.column_name, c.data_type, c.data_type_owner,
    TO_CHAR(c.data_precision), TO_CHAR(c.data_scale), TO_CHAR(c.data_length), TO_CHAR(c.char_length),
    c.char_used, c.nullable
FROM all_tables t
JOIN all_tab_columns c ON c.owner = t.owner AND c.table_name = t.table_name
WHERE t.temporary = 'N' AND t.nested = 'NO' AND t.secondary = 'N' AND t.dropped = 'NO'
    AND (t.iot_type IS NULL OR t.iot_type = 'IOT') AND t.owner NOT IN ('ANONYMOUS', 'APPQOSSYS', 'AUDSYS', 'CTXSYS', 'DBSFWUSER', 'DBSNMP', 'DVSYS', 'EXFSYS', 'GGSYS', 'GSMADMIN_INTERNAL', 'LBACSYS', 'MDSYS', 'OJVMSYS', 'OLAPSYS', 'ORDDATA', 'ORDSYS', 'OUTLN', 'SYS', 'SYSMAN', 'SYSTEM', 'WMSYS', 'XDB')
    AND NOT EXISTS (
        SELECT 1 FROM all_external_tables x WHERE x.owner = t.owner AND x.table_name = t.table_name
    )
 AND c.owner = :1 AND c.table_name = :2 ORDER BY c.owner, c.table_name, c.column_id;
-- 'HIS'
-- 'KINDS'

SELECT k.owner, k.table_name, k.constraint_name, k.constraint_type, c.column_name
FROM all_constraints k
JOIN all_cons_columns c ON c.owner = k.owner AND c.constraint_name = k.constraint_name
    AND c.table_name = k.table_name
WHERE k.constraint_type IN ('P', 'U') AND k.status = 'ENABLED' AND k.validated = 'VALIDATED'
    AND k.owner NOT IN ('ANONYMOUS', 'APPQOSSYS', 'AUDSYS', 'CTXSYS', 'DBSFWUSER', 'DBSNMP', 'DVSYS', 'EXFSYS', 'GGSYS', 'GSMADMIN_INTERNAL', 'LBACSYS', 'MDSYS', 'OJVMSYS', 'OLAPSYS', 'ORDDATA', 'ORDSYS', 'OUTLN', 'SYS', 'SYSMAN', 'SYSTEM', 'WMSYS', 'XDB')
 AND k.owner = :1 AND k.table_name = :2 ORDER BY k.owner, k.table_name, k.constraint_type, k.constraint_name, c.position;
-- 'HIS'
-- 'KINDS'

SELECT p.object_owner, p.object_name FROM all_policies p
WHERE p.sel = 'YES' AND p.enable = 'YES'
    AND NOT EXISTS (SELECT 1 FROM session_privs s WHERE s.privilege = 'EXEMPT ACCESS POLICY');

SELECT value FROM nls_database_parameters WHERE parameter = 'NLS_CHARACTERSET';
