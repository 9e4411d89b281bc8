// Calls of the administration's pages, and what is kept of their answers.
import { useInfiniteQuery, useQuery, type QueryClient } from "@tanstack/react-query";
import { api, at } from "../api";
import { useEvents, useLive, useRefreshOn } from "../live";
import type {
  AccessRole,
  ApiToken,
  ApiTokenCreate,
  BootstrapToken,
  MediaManifest,
  Revocation,
  Revoked,
  SignIn,
  TokenKey,
  User,
} from "./wire";

const TOKENS = ["bootstrap-tokens"] as const;
const USERS = ["users"] as const;
const ROLES = ["access-roles"] as const;
/** How many tokens are asked for at once. */
const PART = 100;
/** Pause between looks where no events come, in milliseconds. */
const PACE = 15_000;

function userKey(name: string): readonly ["users", string] {
  return ["users", name];
}

function signInsKey(name: string): readonly ["sign-ins", string] {
  return ["sign-ins", name];
}

/** Bootstrap tokens, newest first, part by part. */
export function useTokens() {
  const live = useLive();
  useRefreshOn("bootstrap_tokens.*.*", TOKENS);
  return useInfiniteQuery({
    queryKey: TOKENS,
    queryFn: ({ pageParam }) =>
      api.get<BootstrapToken[]>(
        `/bootstrap/tokens?limit=${PART}${pageParam === "" ? "" : `&after=${encodeURIComponent(pageParam)}`}`,
      ),
    initialPageParam: "",
    getNextPageParam: (last) => (last.length < PART ? undefined : last.at(-1)?.Id),
    refetchInterval: live ? false : PACE,
  });
}

/** Ends one token. */
export async function revokeToken(client: QueryClient, id: string): Promise<Revoked> {
  const answer = await api.delete<Revoked>(at("bootstrap", "tokens", id));
  await client.invalidateQueries({ queryKey: TOKENS });
  return answer;
}

/** Ends a user's tokens, or all up to a moment. */
export async function revokeTokens(client: QueryClient, which: Revocation): Promise<Revoked> {
  const answer = await api.post<Revoked>("/bootstrap/tokens/revoke", which);
  await client.invalidateQueries({ queryKey: TOKENS });
  return answer;
}

/** Asks for the tokens again: one was made. */
export function tokensChanged(client: QueryClient): void {
  void client.invalidateQueries({ queryKey: TOKENS });
}

/** Everybody who may sign in. */
export function useUsers(client: QueryClient) {
  useEvents("users.*.*", () => void client.invalidateQueries({ queryKey: USERS }));
  return useQuery({ queryKey: USERS, queryFn: () => api.get<User[]>("/users") });
}

/** One of them. */
export function useUser(client: QueryClient, name: string) {
  useEvents("users.*.*", () => void client.invalidateQueries({ queryKey: userKey(name) }));
  return useQuery({ queryKey: userKey(name), queryFn: () => api.get<User>(at("users", name)) });
}

/** Access roles: what users may do. */
export function useAccessRoles(client: QueryClient) {
  useEvents("roles.*.*", () => void client.invalidateQueries({ queryKey: ROLES }));
  return useQuery({ queryKey: ROLES, queryFn: () => api.get<AccessRole[]>("/roles") });
}

/** Makes a user who has a password: both, or neither. */
export async function createUser(
  client: QueryClient,
  user: { Name: string; Description: string; Roles: string[] },
  password: string,
): Promise<void> {
  await api.post<User>("/users", user);
  try {
    await setPassword(user.Name, password);
  } catch (error) {
    // A user without a password would be a riddle; the reason for it is what is shown.
    await api.delete<User>(at("users", user.Name));
    throw error;
  } finally {
    await client.invalidateQueries({ queryKey: USERS });
  }
}

/** Puts another list of roles in place of the one that was shown. */
export async function setRoles(client: QueryClient, user: User, roles: string[]): Promise<void> {
  const changed = await api.patch<User>(at("users", user.Name), [
    { op: "test", path: "/Roles", value: user.Roles },
    { op: "replace", path: "/Roles", value: roles },
  ]);
  client.setQueryData(userKey(user.Name), changed);
  await client.invalidateQueries({ queryKey: USERS });
}

/** Takes a user away, and whatever is signed in by the name. */
export async function deleteUser(client: QueryClient, name: string): Promise<void> {
  await api.delete<User>(at("users", name));
  await client.invalidateQueries({ queryKey: USERS });
}

/** Sets a password; ends everything that the user is signed in with. */
export async function setPassword(name: string, password: string): Promise<void> {
  await api.put<User>(at("users", name, "password"), { Password: password });
}

/** Sessions and API tokens of a user. */
export function useSignIns(name: string) {
  const live = useLive();
  useRefreshOn(`logins.*.${name}`, signInsKey(name));
  return useQuery({
    queryKey: signInsKey(name),
    queryFn: () => api.get<SignIn[]>(at("users", name, "logins")),
    refetchInterval: live ? false : PACE,
  });
}

/** Ends one of them. */
export async function endSignIn(client: QueryClient, name: string, id: string): Promise<void> {
  await api.delete<SignIn>(at("users", name, "logins", id));
  await client.invalidateQueries({ queryKey: signInsKey(name) });
}

/** Makes an API token, which is shown this once. */
export async function createApiToken(client: QueryClient, name: string, wish: ApiTokenCreate): Promise<ApiToken> {
  const made = await api.post<ApiToken>(at("users", name, "token"), wish);
  await client.invalidateQueries({ queryKey: signInsKey(name) });
  return made;
}

/** What the media were built of; null when there are none. */
export function useManifest(built: boolean) {
  return useQuery({
    queryKey: ["media-manifest"],
    queryFn: () => api.media<MediaManifest>("manifest.json"),
    enabled: built,
    staleTime: 30_000,
  });
}

/** Keys that seal bootstrap tokens; never the keys themselves. No event tells of a roll. */
export function useTokenKeys() {
  return useQuery({ queryKey: ["token-keys"], queryFn: () => api.get<TokenKey[]>("/keys/token"), refetchInterval: PACE });
}
