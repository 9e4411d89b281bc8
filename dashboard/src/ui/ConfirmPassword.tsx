// Asks for the password again where the server wants it for something: the call that was refused
// waits, and is made once more when the password was right (`api.ts`).
import * as Dialog from "@radix-ui/react-dialog";
import { useMutation } from "@tanstack/react-query";
import { useEffect, useRef, useState, type FormEvent } from "react";
import { api } from "../api";
import { explain } from "../explain";
import { TextField } from "./fields";
import { Problem } from "./parts";

/** The dialog; once on the page. */
export function ConfirmPassword({ name }: { name: string }) {
  const [open, setOpen] = useState(false);
  // Calls that were refused at the same time wait for the same password.
  const waiting = useRef<((entered: boolean) => void)[]>([]);
  useEffect(() => {
    api.askPassword = () =>
      new Promise((settle) => {
        waiting.current.push(settle);
        setOpen(true);
      });
    return () => {
      api.askPassword = null;
      waiting.current.splice(0).forEach((settle) => settle(false));
    };
  }, []);
  const settle = (entered: boolean) => {
    setOpen(false);
    waiting.current.splice(0).forEach((each) => each(entered));
  };
  return (
    <Dialog.Root open={open} onOpenChange={(next) => !next && settle(false)}>
      <Dialog.Portal>
        <div className="overlay overlay-top">
          <Dialog.Content className="modal modal-small" onInteractOutside={(event) => event.preventDefault()}>
            <PasswordForm name={name} settle={settle} />
          </Dialog.Content>
        </div>
      </Dialog.Portal>
    </Dialog.Root>
  );
}

// Its state lasts as long as the dialog is open, and the password with it.
function PasswordForm({ name, settle }: { name: string; settle(entered: boolean): void }) {
  const [password, setPassword] = useState("");
  const proof = useMutation({ mutationFn: () => api.confirm(password), gcTime: 0, onSuccess: () => settle(true) });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    // It is a form inside a form for React's events, where a dialog opened this one.
    event.stopPropagation();
    if (password !== "" && !proof.isPending) proof.mutate();
  };
  return (
    <form className="confirm" onSubmit={submit}>
      <Dialog.Title className="modal-title">Enter your password</Dialog.Title>
      <Dialog.Description className="modal-text">
        This needs to know that it is still you, {name}. The password counts for five minutes.
      </Dialog.Description>
      <TextField
        label="Password"
        type="password"
        autoComplete="current-password"
        required
        value={password}
        onChange={setPassword}
      />
      {proof.error !== null && <Problem error={explain(proof.error, "confirm")} />}
      <div className="modal-actions">
        <Dialog.Close type="button" className="button">
          Cancel
        </Dialog.Close>
        <button type="submit" className="button button-primary" disabled={password === "" || proof.isPending}>
          {proof.isPending ? "Checking\u2026" : "Continue"}
        </button>
      </div>
    </form>
  );
}
