-- What audit rows are found by: derived from their bodies, which alone are chained. about is the machine
-- that a row concerns or that did it, or empty.
ALTER TABLE audit ADD COLUMN kind TEXT NOT NULL DEFAULT '';
ALTER TABLE audit ADD COLUMN about TEXT NOT NULL DEFAULT '';
ALTER TABLE audit ADD COLUMN principal TEXT NOT NULL DEFAULT '';
CREATE INDEX audit_by_machine ON audit (about, number) WHERE about <> '';
CREATE INDEX audit_by_kind ON audit (kind, number);
CREATE INDEX audit_by_principal ON audit (principal, number);
