// Every kind of object that has a page, by its name.
import { ACCESS_ROLES } from "../../admin/accessRoles";
import { MESHES } from "../../meshes/kind";
import { VIPS } from "../../vips/kind";
import type { KindName, KindSpec } from "../kind";
import { BOOTENVS, TEMPLATES } from "./boot";
import { CREDENTIALS, IMAGES, ROLES, SECRETS, VARIABLES } from "./provision";
import { PARAMS, PROFILES, STAGES, TASKS, WORKFLOWS } from "./work";

export const KINDS: Readonly<Record<KindName, KindSpec>> = {
  roles: ROLES,
  images: IMAGES,
  meshes: MESHES,
  vips: VIPS,
  credentials: CREDENTIALS,
  secrets: SECRETS,
  variables: VARIABLES,
  workflows: WORKFLOWS,
  stages: STAGES,
  tasks: TASKS,
  bootenvs: BOOTENVS,
  templates: TEMPLATES,
  params: PARAMS,
  profiles: PROFILES,
  "access-roles": ACCESS_ROLES,
};
