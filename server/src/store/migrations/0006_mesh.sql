-- Numbers in mesh networks, of which addresses follow. A row stays when its machine leaves, and is free
-- then: every number up to a network's highest has one.
CREATE TABLE mesh_host (
    mesh TEXT NOT NULL,
    number BIGINT NOT NULL,
    machine TEXT,
    PRIMARY KEY (mesh, number)
);
CREATE UNIQUE INDEX mesh_host_by_machine ON mesh_host (machine) WHERE machine IS NOT NULL;
CREATE INDEX mesh_host_free ON mesh_host (mesh, number) WHERE machine IS NULL;
