// The pages of the kinds, as the table of pages names them.
import { ObjectsPage } from "./ObjectsPage";

interface PageProps {
  name?: string | undefined;
}

export const RolesPage = ({ name }: PageProps) => <ObjectsPage kind="roles" name={name} />;
export const ImagesPage = ({ name }: PageProps) => <ObjectsPage kind="images" name={name} />;
export const MeshesPage = ({ name }: PageProps) => <ObjectsPage kind="meshes" name={name} />;
export const VipsPage = ({ name }: PageProps) => <ObjectsPage kind="vips" name={name} />;
export const CredentialsPage = ({ name }: PageProps) => <ObjectsPage kind="credentials" name={name} />;
export const SecretsPage = ({ name }: PageProps) => <ObjectsPage kind="secrets" name={name} />;
export const VariablesPage = ({ name }: PageProps) => <ObjectsPage kind="variables" name={name} />;
export const WorkflowsPage = ({ name }: PageProps) => <ObjectsPage kind="workflows" name={name} />;
export const StagesPage = ({ name }: PageProps) => <ObjectsPage kind="stages" name={name} />;
export const TasksPage = ({ name }: PageProps) => <ObjectsPage kind="tasks" name={name} />;
export const BootEnvsPage = ({ name }: PageProps) => <ObjectsPage kind="bootenvs" name={name} />;
export const TemplatesPage = ({ name }: PageProps) => <ObjectsPage kind="templates" name={name} />;
export const ParamsPage = ({ name }: PageProps) => <ObjectsPage kind="params" name={name} />;
export const ProfilesPage = ({ name }: PageProps) => <ObjectsPage kind="profiles" name={name} />;
export const AccessRolesPage = ({ name }: PageProps) => <ObjectsPage kind="access-roles" name={name} />;
