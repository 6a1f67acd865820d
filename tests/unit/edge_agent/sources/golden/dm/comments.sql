SELECT m.comments FROM all_tab_comments m WHERE m.owner = ? AND m.table_name = ? AND m.comments IS NOT NULL;
-- 'HIS'
-- 'KINDS'

SELECT m.column_name, m.comments FROM all_col_comments m WHERE m.owner = ? AND m.table_name = ? AND m.comments IS NOT NULL;
-- 'HIS'
-- 'KINDS'
