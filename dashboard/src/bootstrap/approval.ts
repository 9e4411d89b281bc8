// Approving one machine: from a code or a waiting request to a decision. The states own what
// they need, so that nothing can be approved that was not shown.
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useRef, useState } from "react";
import { api } from "../api";
import { CODE_LENGTH } from "../code";
import { explain, type Explained } from "../explain";
import { changed, ENROLLMENTS, useTell } from "../live";
import type { ApproveRequest, EnrollmentPreview, Machine, MachineMatch } from "../wire";

/** Points from which a match is strong (`spec/security.md` 5). */
const STRONG = 100;

/** Where the operator stands. */
export type Step =
  | { kind: "entry" }
  | { kind: "looking" }
  | { kind: "refused"; error: Explained }
  | ({ kind: "preview" } & Previewed)
  | { kind: "approved"; machine: Machine; merged: boolean }
  | { kind: "denied"; what: string };

/** A request that is being looked at, and what was chosen so far. */
export interface Previewed {
  preview: EnrollmentPreview;
  /** The code it was found by; null when it was taken from the waiting list. */
  code: string | null;
  choice: Choice;
  /** The question whether to deny is open. */
  denying: boolean;
  problem: Explained | null;
}

/** What the operator decided beside pressing Bootstrap. */
export interface Choice {
  /** Name as typed. */
  name: string;
  /** Machine to keep the identity of, or null for a new one. */
  merge: string | null;
  /** The fingerprint was compared with the console. */
  confirmed: boolean;
}

/** The machine a request most likely is: the best match, if strong and not online. */
export function likelyMatch(matches: readonly MachineMatch[]): MachineMatch | null {
  return matches.find((match) => match.score >= STRONG && !match.online) ?? null;
}

/** Whether the fingerprint must be compared: with any warning, and always without a code,
 * since then nothing else ties the request to a console somebody looked at. */
export function mustCompare(preview: EnrollmentPreview, code: string | null): boolean {
  return code === null || preview.warnings.length > 0;
}

/** Whether the fingerprint was compared, where it must be. */
export function isConfirmed({ preview, code, choice }: Previewed): boolean {
  return choice.confirmed || !mustCompare(preview, code);
}

/** The name the machine gets when the operator leaves the field alone. */
export function proposedName(preview: EnrollmentPreview, merge: string | null): string {
  return preview.matches.find((match) => match.uuid === merge)?.name ?? preview.suggested_name;
}

/** The request for a decision: a name only when it was changed, so that the server can still
 * keep proposed names apart. */
export function approveRequest({ preview, code, choice }: Previewed): ApproveRequest {
  const request: ApproveRequest = { fingerprint: preview.fingerprint, fingerprint_confirmed: choice.confirmed };
  const name = choice.name.trim();
  if (code !== null) request.code = code;
  if (choice.merge !== null) request.merge = choice.merge;
  if (name !== "" && name !== proposedName(preview, choice.merge)) request.name = name;
  return request;
}

/** A request as it is first shown: a likely match is proposed, nothing is confirmed. */
export function previewed(preview: EnrollmentPreview, code: string | null): Step {
  const merge = likelyMatch(preview.matches)?.uuid ?? null;
  const choice = { merge, name: proposedName(preview, merge), confirmed: false };
  return { kind: "preview", preview, code, choice, denying: false, problem: null };
}

/** A machine in a few words, for messages. */
export function inWords(preview: EnrollmentPreview): string {
  const words = [preview.vendor, preview.product].filter((word) => word !== "").join(" ");
  return words === "" ? `the machine at ${preview.source_ip}` : words;
}

/** The approval of one machine, step by step. */
export function useApproval() {
  const client = useQueryClient();
  const [characters, setCharacters] = useState("");
  const [step, setStep] = useState<Step>({ kind: "entry" });
  // Answers to codes that were changed meanwhile are dropped.
  const latest = useRef(0);
  const tell = useTell();

  const look = useMutation({ mutationFn: (code: string) => api.lookup(code) });
  const lookUp = (code: string) => {
    const mine = ++latest.current;
    setStep({ kind: "looking" });
    look.mutateAsync(code).then(
      (preview) => {
        if (latest.current === mine) setStep(previewed(preview, code));
      },
      (error: unknown) => {
        if (latest.current === mine) setStep({ kind: "refused", error: explain(error, "lookup") });
      },
    );
  };

  const type = (typed: string) => {
    if (typed === characters) return;
    setCharacters(typed);
    if (typed.length === CODE_LENGTH) {
      lookUp(typed);
    } else {
      latest.current += 1;
      setStep({ kind: "entry" });
    }
  };

  const settled = () => void client.invalidateQueries({ queryKey: ENROLLMENTS });
  const fail = (error: unknown, doing: "approve" | "deny") => {
    setStep((now) => (now.kind === "preview" ? { ...now, problem: explain(error, doing) } : now));
    settled();
  };
  const approval = useMutation({
    mutationFn: ({ id, request }: { id: string; request: ApproveRequest }) => api.approve(id, request),
    onSuccess: (machine, { request }) => {
      tell(changed(machine, "create"));
      setStep({ kind: "approved", machine, merged: request.merge !== undefined });
      settled();
    },
    onError: (error) => fail(error, "approve"),
  });
  const denial = useMutation({
    mutationFn: ({ preview, reason }: { preview: EnrollmentPreview; reason: string }) =>
      api.deny(preview.id, reason.trim() === "" ? {} : { reason: reason.trim() }),
    onSuccess: (_answer, { preview }) => {
      setStep({ kind: "denied", what: inWords(preview) });
      settled();
    },
    onError: (error) => fail(error, "deny"),
  });

  return {
    characters,
    step,
    busy: approval.isPending ? ("approve" as const) : denial.isPending ? ("deny" as const) : null,
    type,
    /** Looks the typed code up once more. */
    again: () => lookUp(characters),
    /** Shows a request of the waiting list. */
    review: (preview: EnrollmentPreview) => {
      latest.current += 1;
      setCharacters("");
      setStep(previewed(preview, null));
    },
    /** Back to an empty code field. */
    restart: () => {
      latest.current += 1;
      setCharacters("");
      setStep({ kind: "entry" });
    },
    /** Changes what was chosen, or opens and closes the question whether to deny. */
    change: (change: Partial<Pick<Previewed, "choice" | "denying">>) =>
      setStep((now) => (now.kind === "preview" ? { ...now, ...change } : now)),
    approve: () => {
      if (step.kind !== "preview" || approval.isPending || denial.isPending) return;
      setStep({ ...step, problem: null });
      approval.mutate({ id: step.preview.id, request: approveRequest(step) });
    },
    deny: (reason: string) => {
      if (step.kind !== "preview" || approval.isPending || denial.isPending) return;
      setStep({ ...step, problem: null });
      denial.mutate({ preview: step.preview, reason });
    },
  };
}

/** What {@link useApproval} gives. */
export type Approval = ReturnType<typeof useApproval>;
