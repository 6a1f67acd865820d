SELECT UTL_RAW.CAST_TO_RAW(SUBSTR(m.comments, 1, 500)), UTL_RAW.CAST_TO_RAW(SUBSTR(m.comments, 501, 500)), UTL_RAW.CAST_TO_RAW(SUBSTR(m.comments, 1001, 500)), UTL_RAW.CAST_TO_RAW(SUBSTR(m.comments, 1501, 500)), UTL_RAW.CAST_TO_RAW(SUBSTR(m.comments, 2001, 500)), UTL_RAW.CAST_TO_RAW(SUBSTR(m.comments, 2501, 500)), UTL_RAW.CAST_TO_RAW(SUBSTR(m.comments, 3001, 500)), UTL_RAW.CAST_TO_RAW(SUBSTR(m.comments, 3501, 500)) FROM all_tab_comments m WHERE m.owner = :1 AND m.table_name = :2 AND m.comments IS NOT NULL;
-- 'HIS'
-- 'KINDS'

SELECT m.column_name, UTL_RAW.CAST_TO_RAW(SUBSTR(m.comments, 1, 500)), UTL_RAW.CAST_TO_RAW(SUBSTR(m.comments, 501, 500)), UTL_RAW.CAST_TO_RAW(SUBSTR(m.comments, 1001, 500)), UTL_RAW.CAST_TO_RAW(SUBSTR(m.comments, 1501, 500)), UTL_RAW.CAST_TO_RAW(SUBSTR(m.comments, 2001, 500)), UTL_RAW.CAST_TO_RAW(SUBSTR(m.comments, 2501, 500)), UTL_RAW.CAST_TO_RAW(SUBSTR(m.comments, 3001, 500)), UTL_RAW.CAST_TO_RAW(SUBSTR(m.comments, 3501, 500)) FROM all_col_comments m WHERE m.owner = :1 AND m.table_name = :2 AND m.comments IS NOT NULL;
-- 'HIS'
-- 'KINDS'
