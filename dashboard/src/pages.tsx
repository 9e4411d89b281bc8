// The pages there are: their addresses, their code (fetched when first shown), and their places in the menus.
import { lazy, type ComponentType, type LazyExoticComponent } from "react";

/** One page. */
export interface Area {
  /** Pattern of its address (wouter's: `/machines/:uuid/:tab?`); its parts are the page's properties. */
  path: string;
  /** The page. */
  page: LazyExoticComponent<ComponentType<Record<string, string | undefined>>>;
}

/** A place in the bar: a link, or a menu of links. */
export type Place = { name: string; path: string } | { name: string; places: readonly { name: string; path: string }[] };

/** A page by the name that its module exports. */
function area<Name extends string>(
  path: string,
  load: () => Promise<Record<Name, ComponentType<never>>>,
  name: Name,
): Area {
  const page = lazy(async () => ({ default: (await load())[name] as ComponentType<Record<string, string | undefined>> }));
  return { path, page };
}

/** Every page. The first pattern that fits is shown. */
export const AREAS: readonly Area[] = [
  area("/", () => import("./machines/MachinesPage"), "MachinesPage"),
  area("/machines", () => import("./machines/MachinesPage"), "MachinesPage"),
  area("/machines/:uuid/:tab?", () => import("./machines/detail/MachinePage"), "MachinePage"),
  area("/roles/:name?", () => import("./objects/pages"), "RolesPage"),
  area("/images/:name?", () => import("./objects/pages"), "ImagesPage"),
  area("/meshes/:name?", () => import("./objects/pages"), "MeshesPage"),
  area("/vips/:name?", () => import("./objects/pages"), "VipsPage"),
  area("/registry-credentials/:name?", () => import("./objects/pages"), "CredentialsPage"),
  area("/secrets/:name?", () => import("./objects/pages"), "SecretsPage"),
  area("/variables/:name?", () => import("./objects/pages"), "VariablesPage"),
  area("/workflows/:name?", () => import("./objects/pages"), "WorkflowsPage"),
  area("/stages/:name?", () => import("./objects/pages"), "StagesPage"),
  area("/tasks/:name?", () => import("./objects/pages"), "TasksPage"),
  area("/bootenvs/:name?", () => import("./objects/pages"), "BootEnvsPage"),
  area("/templates/:name?", () => import("./objects/pages"), "TemplatesPage"),
  area("/params/:name?", () => import("./objects/pages"), "ParamsPage"),
  area("/profiles/:name?", () => import("./objects/pages"), "ProfilesPage"),
  area("/tokens", () => import("./admin/TokensPage"), "TokensPage"),
  area("/users", () => import("./admin/UsersPage"), "UsersPage"),
  area("/users/:name", () => import("./admin/UserPage"), "UserPage"),
  area("/access-roles/:name?", () => import("./objects/pages"), "AccessRolesPage"),
  area("/audit", () => import("./admin/AuditPage"), "AuditPage"),
  area("/settings/:section?", () => import("./admin/SettingsPage"), "SettingsPage"),
  area("/account", () => import("./admin/AccountPage"), "AccountPage"),
];

/** The bar, from left to right. */
export const PLACES: readonly Place[] = [
  { name: "Machines", path: "/" },
  { name: "Roles", path: "/roles" },
  { name: "Images", path: "/images" },
  {
    name: "Mesh Networks",
    places: [
      { name: "Mesh networks", path: "/meshes" },
      { name: "Virtual addresses & routes", path: "/vips" },
    ],
  },
  {
    name: "Secrets & Variables",
    places: [
      { name: "Secrets", path: "/secrets" },
      { name: "Variables", path: "/variables" },
      { name: "Registry credentials", path: "/registry-credentials" },
    ],
  },
  {
    name: "Workflows",
    places: [
      { name: "Workflows", path: "/workflows" },
      { name: "Stages", path: "/stages" },
      { name: "Tasks", path: "/tasks" },
      { name: "Boot environments", path: "/bootenvs" },
      { name: "Templates", path: "/templates" },
      { name: "Params", path: "/params" },
      { name: "Profiles", path: "/profiles" },
    ],
  },
  {
    name: "Administration",
    places: [
      { name: "Tokens", path: "/tokens" },
      { name: "Users", path: "/users" },
      { name: "Access roles", path: "/access-roles" },
      { name: "Audit", path: "/audit" },
      { name: "Settings", path: "/settings" },
    ],
  },
];

/** Whether an address belongs to a place. */
export function isAt(path: string, location: string): boolean {
  if (path === "/") return location === "/" || location.startsWith("/machines");
  return location === path || location.startsWith(`${path}/`);
}
