-- By what the Machines page lists machines: mesh network, roles, and their names in the order of people.
-- The program fills all of it from the bodies.
ALTER TABLE machine_index ADD COLUMN mesh TEXT NOT NULL DEFAULT '';
ALTER TABLE machine_index ADD COLUMN roles TEXT NOT NULL DEFAULT '';
ALTER TABLE machine_index ADD COLUMN natural_name TEXT NOT NULL DEFAULT '';
-- postgres: ALTER TABLE machine_index ALTER mesh TYPE TEXT COLLATE "C", ALTER roles TYPE TEXT COLLATE "C", ALTER natural_name TYPE TEXT COLLATE "C";

-- In the whole order of the page's columns, so that the next part of a list begins where the last one ended.
CREATE INDEX machine_by_natural_name ON machine_index (natural_name, id);
CREATE INDEX machine_by_mesh ON machine_index (mesh, natural_name, id);
CREATE INDEX machine_by_roles ON machine_index (roles, natural_name, id);
DROP INDEX machine_by_provision_state;
CREATE INDEX machine_by_provision_state ON machine_index (provision_state, natural_name, id);

-- What people search for a machine by, a line for each thing, in lower case. It is read from one end to
-- the other, so nothing else is in it.
-- sqlite: CREATE TABLE machine_text (machine TEXT PRIMARY KEY, body TEXT NOT NULL) WITHOUT ROWID;
-- postgres: CREATE TABLE machine_text (machine TEXT PRIMARY KEY, body TEXT NOT NULL);
