-- A ledger of the version before migrations, every table with a row: made by its `Ledger`, as `sqlite3 .dump` prints it.
BEGIN TRANSACTION;
CREATE TABLE agent (
	id TEXT NOT NULL, 
	site TEXT NOT NULL, 
	suite BIGINT NOT NULL, 
	public BLOB NOT NULL, 
	version TEXT NOT NULL, 
	enrolled BIGINT NOT NULL, 
	revoked BIGINT, 
	PRIMARY KEY (id)
);
INSERT INTO "agent" VALUES('aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa','h1',1,X'7070707070707070707070707070707070707070707070707070707070707070','1.0',50,NULL);
CREATE TABLE audit (
	id INTEGER NOT NULL, 
	time BIGINT NOT NULL, 
	who TEXT NOT NULL, 
	what TEXT NOT NULL, 
	PRIMARY KEY (id)
);
INSERT INTO "audit" VALUES(1,70,'操作员','quarantine drop 2 h1/his changes/h1/his/y-2');
INSERT INTO "audit" VALUES(2,71,'操作员','quarantine retry 1: asked for');
INSERT INTO "audit" VALUES(3,80,'操作员','command snapshot h1/his dbo.x to aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa');
CREATE TABLE command (
	id TEXT NOT NULL, 
	agent TEXT NOT NULL, 
	site TEXT NOT NULL, 
	source TEXT NOT NULL, 
	name TEXT NOT NULL, 
	arguments TEXT NOT NULL, 
	who TEXT NOT NULL, 
	issued BIGINT NOT NULL, 
	expires BIGINT NOT NULL, 
	sent BIGINT, 
	answered BIGINT, 
	code TEXT, 
	facts TEXT, 
	PRIMARY KEY (id)
);
INSERT INTO "command" VALUES('c5c060bfc24083c546abf87e59489bbc','aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa','h1','his','snapshot','{"source": "his", "table": "dbo.x"}','操作员',80,1080,NULL,NULL,NULL,NULL);
CREATE TABLE fleet (
	agent TEXT NOT NULL, 
	heard BIGINT NOT NULL, 
	status TEXT NOT NULL, 
	PRIMARY KEY (agent)
);
INSERT INTO "fleet" VALUES('aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa',13,'{"名": [null]}');
CREATE TABLE gap (
	id INTEGER NOT NULL, 
	site TEXT NOT NULL, 
	source TEXT NOT NULL, 
	path TEXT NOT NULL, 
	epoch BIGINT NOT NULL, 
	seq BIGINT NOT NULL, 
	last_epoch BIGINT NOT NULL, 
	last_seq BIGINT NOT NULL, 
	envelopes BIGINT NOT NULL, 
	bytes BIGINT NOT NULL, 
	rows BIGINT, 
	code TEXT NOT NULL, 
	reason TEXT NOT NULL, 
	who TEXT NOT NULL, 
	time BIGINT NOT NULL, 
	command TEXT, 
	healed BIGINT, 
	PRIMARY KEY (id)
);
INSERT INTO "gap" VALUES(1,'h1','his','changes/h1/his/y-2',1,3,1,3,1,700,9,'GC-6004','why','操作员',70,NULL,NULL);
CREATE TABLE grant_ (
	site TEXT NOT NULL, 
	source TEXT NOT NULL, 
	epoch BIGINT NOT NULL, 
	agent TEXT NOT NULL, 
	issued BIGINT NOT NULL, 
	used BIGINT, 
	PRIMARY KEY (site, source, epoch)
);
INSERT INTO "grant_" VALUES('h1','his',1,'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa',7,8);
CREATE TABLE held (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	site TEXT NOT NULL, 
	source TEXT NOT NULL, 
	path TEXT NOT NULL, 
	last_epoch BIGINT NOT NULL, 
	last_seq BIGINT NOT NULL, 
	envelopes BIGINT NOT NULL, 
	bytes BIGINT NOT NULL, 
	"end" BIGINT NOT NULL, 
	UNIQUE (site, source, path)
);
INSERT INTO "held" VALUES(1,'h1','his','changes/h1/his/x-1',0,0,0,0,0);
CREATE TABLE hole (
	id INTEGER NOT NULL, 
	site TEXT NOT NULL, 
	source TEXT NOT NULL, 
	epoch BIGINT NOT NULL, 
	first BIGINT NOT NULL, 
	last BIGINT NOT NULL, 
	"before" BLOB NOT NULL, 
	hash BLOB NOT NULL, 
	start BIGINT NOT NULL, 
	stop BIGINT NOT NULL, 
	received BIGINT NOT NULL, 
	agent TEXT NOT NULL, 
	waits BOOLEAN NOT NULL, 
	found BIGINT NOT NULL, 
	asked BIGINT, 
	times INTEGER NOT NULL, 
	came BIGINT NOT NULL, 
	came_bytes BIGINT NOT NULL, 
	state TEXT NOT NULL, 
	PRIMARY KEY (id)
);
INSERT INTO "hole" VALUES(1,'h1','his',1,2,3,X'6262626262626262626262626262626262626262626262626262626262626262',X'6363636363636363636363636363636363636363636363636363636363636363',100,300,40,'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa',1,90,NULL,0,0,0,'open');
CREATE TABLE inventory (
	site TEXT NOT NULL, 
	source TEXT NOT NULL, 
	name TEXT NOT NULL, 
	columns BIGINT NOT NULL, 
	rows_estimate BIGINT, 
	captured BOOLEAN NOT NULL, 
	reason TEXT NOT NULL, 
	seen BIGINT NOT NULL, 
	PRIMARY KEY (site, source, name)
);
INSERT INTO "inventory" VALUES('h1','his','dbo.x',3,NULL,1,'',12);
CREATE TABLE invitation (
	secret_hash BLOB NOT NULL, 
	site TEXT NOT NULL, 
	expires BIGINT NOT NULL, 
	used_by TEXT, 
	PRIMARY KEY (secret_hash)
);
INSERT INTO "invitation" VALUES(X'6868686868686868686868686868686868686868686868686868686868686868','h1',100,'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa');
CREATE TABLE lake_table (
	path TEXT NOT NULL, 
	site TEXT NOT NULL, 
	source TEXT NOT NULL, 
	name TEXT NOT NULL, 
	"key" TEXT NOT NULL, 
	fingerprint BLOB NOT NULL, 
	synced_version BIGINT NOT NULL, 
	landed BIGINT, 
	rows BIGINT NOT NULL, 
	PRIMARY KEY (path)
);
INSERT INTO "lake_table" VALUES('changes/h1/his/x-1','h1','his','[null, "模式", "a.b"]','["编号", "n"]',X'6666666666666666666666666666666666666666666666666666666666666666',4,9,3);
CREATE TABLE meta (
	name TEXT NOT NULL, 
	value TEXT NOT NULL, 
	PRIMARY KEY (name)
);
INSERT INTO "meta" VALUES('checkpoint','1000');
INSERT INTO "meta" VALUES('broken:h1/his','1');
CREATE TABLE parked (
	site TEXT NOT NULL, 
	source TEXT NOT NULL, 
	path TEXT NOT NULL, 
	code TEXT NOT NULL, 
	reason TEXT NOT NULL, 
	epoch BIGINT NOT NULL, 
	seq BIGINT NOT NULL, 
	since BIGINT NOT NULL, 
	PRIMARY KEY (site, source, path)
);
INSERT INTO "parked" VALUES('h1','his','changes/h1/his/x-1','GC-6004','why',1,4,60);
CREATE TABLE quarantine_request (
	id INTEGER NOT NULL, 
	held BIGINT NOT NULL, 
	what TEXT NOT NULL, 
	who TEXT NOT NULL, 
	time BIGINT NOT NULL, 
	finished BIGINT, 
	code TEXT, 
	reason TEXT, 
	PRIMARY KEY (id)
);
INSERT INTO "quarantine_request" VALUES(1,1,'retry','操作员',71,NULL,NULL,NULL);
CREATE TABLE schema (
	fingerprint BLOB NOT NULL, 
	content BLOB NOT NULL, 
	PRIMARY KEY (fingerprint)
);
INSERT INTO "schema" VALUES(X'6666666666666666666666666666666666666666666666666666666666666666',X'7B7D');
CREATE TABLE site (
	code TEXT NOT NULL, 
	name TEXT NOT NULL, 
	created BIGINT NOT NULL, 
	PRIMARY KEY (code)
);
INSERT INTO "site" VALUES('h1','第一医院',1);
CREATE TABLE stream (
	site TEXT NOT NULL, 
	source TEXT NOT NULL, 
	agent TEXT NOT NULL, 
	epoch BIGINT NOT NULL, 
	seq BIGINT NOT NULL, 
	hash BLOB NOT NULL, 
	resume BLOB NOT NULL, 
	admitted_bytes BIGINT NOT NULL, 
	public BLOB, 
	received BIGINT, 
	low_water BIGINT NOT NULL, 
	PRIMARY KEY (site, source)
);
INSERT INTO "stream" VALUES('h1','his','aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa',1,5,X'6868686868686868686868686868686868686868686868686868686868686868',X'7272727272727272727272727272727272727272727272727272727272727272',900,X'6B6B6B6B6B6B6B6B6B6B6B6B6B6B6B6B6B6B6B6B6B6B6B6B6B6B6B6B6B6B6B6B',44,30);
CREATE INDEX ix_agent_site ON agent (site);
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('held',2);
COMMIT;
