// The sign-in page.
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useState, type FormEvent } from "react";
import { api } from "./api";
import { explain } from "./explain";
import { SESSION, SESSION_END } from "./live";
import { useCountdown, usePageTitle } from "./time";
import { Mark } from "./ui/icons";
import { Problem } from "./ui/parts";

/** Asks for user name and password. */
export function Login() {
  const client = useQueryClient();
  const [username, setUsername] = useState("admin");
  const [password, setPassword] = useState("");
  usePageTitle("Sign in");
  const ended = client.getQueryData<string>(SESSION_END);
  const login = useMutation({
    mutationFn: () => api.login(username, password),
    onSuccess: (session) => {
      setPassword("");
      client.removeQueries({ queryKey: SESSION_END });
      client.setQueryData(SESSION, session);
    },
  });
  const [problem, setProblem] = useState<ReturnType<typeof explain> | null>(null);
  const wait = useCountdown(problem);
  const submit = (event: FormEvent) => {
    event.preventDefault();
    setProblem(null);
    login.mutate(undefined, { onError: (error) => setProblem(explain(error, "login")) });
  };
  return (
    <main className="login">
      <form className="login-card" onSubmit={submit}>
        <h1>
          <Mark />
          Sign in to Muster
        </h1>
        {ended !== undefined && problem === null && <p className="note note-warning">{ended}</p>}
        <label className="field">
          <span>User name</span>
          <input
            className="input"
            name="username"
            autoComplete="username"
            autoCapitalize="none"
            spellCheck={false}
            required
            maxLength={128}
            value={username}
            onChange={(event) => setUsername(event.target.value)}
          />
        </label>
        <label className="field">
          <span>Password</span>
          <input
            className="input"
            name="password"
            type="password"
            autoComplete="current-password"
            required
            autoFocus
            maxLength={1024}
            value={password}
            onChange={(event) => setPassword(event.target.value)}
          />
        </label>
        {problem !== null && <Problem error={problem} />}
        <button type="submit" className="button button-primary" disabled={login.isPending || wait > 0}>
          {login.isPending ? "Signing in\u2026" : "Sign in"}
        </button>
        <p className="hint">
          The first password is in the file <code>admin-password</code> in the server&rsquo;s data directory.
        </p>
      </form>
    </main>
  );
}
