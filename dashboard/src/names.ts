// Names of the objects of a collection, for those who choose one.
import { useQuery } from "@tanstack/react-query";
import { api, at } from "./api";

/** The names, in the server's order; asked for as soon as they are `wanted`. */
export function useNames(collection: string, wanted = true) {
  return useQuery({
    queryKey: ["names", collection],
    queryFn: async () => (await api.get<{ Name: string }[]>(`${at(collection)}?slim=Params,Meta,Contents`)).map(({ Name }) => Name),
    enabled: wanted,
  });
}
