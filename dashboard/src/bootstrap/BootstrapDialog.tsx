// The dialog that brings a machine in: three methods, chosen by cards at the top.
import { useState, type ReactNode } from "react";
import { Boundary } from "../ui/Boundary";
import { DiscIcon, NetworkIcon, TerminalIcon } from "../ui/icons";
import { Modal } from "../ui/Modal";
import { CliMethod } from "./CliMethod";
import { IsoMethod } from "./IsoMethod";
import { PxeMethod } from "./PxeMethod";

type Method = "cli" | "iso" | "pxe";

interface BootstrapDialogProps {
  open: boolean;
  onOpenChange(open: boolean): void;
  /** The card that is chosen at first. */
  method?: Method;
}

/** The Bootstrap Machine dialog. What was typed is forgotten when it closes. */
export function BootstrapDialog({ open, onOpenChange, method: first = "iso" }: BootstrapDialogProps) {
  const [method, setMethod] = useState<Method>(first);
  const close = () => onOpenChange(false);
  return (
    <Modal
      open={open}
      onOpenChange={onOpenChange}
      title="Bootstrap Machine"
      description="Register a new machine with this server. How does it boot?"
    >
      <MethodCards method={method} choose={setMethod} />
      <Boundary key={method} what="this method">
        <Chosen method={method} close={close} />
      </Boundary>
    </Modal>
  );
}

function Chosen({ method, close }: { method: Method; close(): void }) {
  switch (method) {
    case "cli":
      return <CliMethod close={close} />;
    case "iso":
      return <IsoMethod close={close} />;
    case "pxe":
      return <PxeMethod close={close} />;
  }
}

function MethodCards({ method, choose }: { method: Method; choose(method: Method): void }) {
  return (
    <fieldset className="methods" role="radiogroup">
      <legend className="visually-hidden">Method</legend>
      <MethodCard value="cli" chosen={method} choose={choose} icon={<TerminalIcon />} name="Muster CLI">
        On a Linux that runs already, with one command.
      </MethodCard>
      <MethodCard value="iso" chosen={method} choose={choose} icon={<DiscIcon />} name="ISO Image">
        From a USB drive or virtual CD-ROM, with a code.
      </MethodCard>
      <MethodCard value="pxe" chosen={method} choose={choose} icon={<NetworkIcon />} name="PXE/Network">
        From the PXE infrastructure you have, with a token.
      </MethodCard>
    </fieldset>
  );
}

interface MethodCardProps {
  value: Method;
  chosen: Method;
  choose(method: Method): void;
  icon: ReactNode;
  name: string;
  children: string;
}

function MethodCard({ value, chosen, choose, icon, name, children }: MethodCardProps) {
  return (
    <label className="method">
      <input
        type="radio"
        name="bootstrap-method"
        className="visually-hidden"
        value={value}
        checked={chosen === value}
        onChange={() => choose(value)}
      />
      <CardText icon={icon} name={name} text={children} />
    </label>
  );
}

function CardText({ icon, name, text }: { icon: ReactNode; name: string; text: string }) {
  return (
    <>
      {icon}
      <span className="method-name">{name}</span>
      <span className="method-text">{text}</span>
    </>
  );
}
