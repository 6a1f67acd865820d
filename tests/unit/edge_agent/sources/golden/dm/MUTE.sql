-- whole
SELECT t."X" FROM "HIS"."MUTE" t;
