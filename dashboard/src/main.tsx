// Starts the dashboard: caches, the session's end, and the page.
import { MutationCache, QueryCache, QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { ApiError } from "./api";
import { App } from "./App";
import { explain } from "./explain";
import { SESSION, SESSION_END } from "./live";
import "./ui/back";
import { Boundary } from "./ui/Boundary";
import "./styles/tokens.css";
import "./styles/base.css";
import "./styles/controls.css";
import "./styles/frame.css";
import "./styles/dialog.css";
import "./styles/machines.css";
import "./styles/detail.css";
import "./styles/bootstrap.css";
import "./styles/preview.css";
import "./styles/token.css";

/** A call that is answered 401 ends the session: the login page takes over. Not where the password was asked for. */
function heedSessionEnd(error: Error): void {
  if (!(error instanceof ApiError) || error.status !== 401 || error.kind === "step_up") return;
  client.setQueryData(SESSION_END, explain(error, "load").text);
  client.setQueryData(SESSION, null);
}

const client: QueryClient = new QueryClient({
  queryCache: new QueryCache({ onError: heedSessionEnd }),
  mutationCache: new MutationCache({ onError: heedSessionEnd }),
  defaultOptions: {
    queries: {
      // A refusal stays one; only an unreachable or overloaded server is asked again.
      retry: (count, error) => count < 2 && (!(error instanceof ApiError) || error.status === 0 || error.status >= 500),
      staleTime: 2_000,
    },
  },
});

const root = document.getElementById("root");
if (root === null) throw new Error("index.html has no element with the id root");
createRoot(root).render(
  <StrictMode>
    <Boundary what="the dashboard">
      <QueryClientProvider client={client}>
        <App />
      </QueryClientProvider>
    </Boundary>
  </StrictMode>,
);
