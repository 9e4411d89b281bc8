// The dialog that brings a machine in: three methods, chosen by cards at the top.
import { useState, type ReactNode } from "react";
import { Boundary } from "../ui/Boundary";
import { DiscIcon, NetworkIcon, TerminalIcon } from "../ui/icons";
import { Modal } from "../ui/Modal";
import { IsoMethod } from "./IsoMethod";
import { PxeMethod } from "./PxeMethod";

type Method = "iso" | "pxe";

/** The Bootstrap Machine dialog. What was typed is forgotten when it closes. */
export function BootstrapDialog({ open, onOpenChange }: { open: boolean; onOpenChange(open: boolean): void }) {
  const [method, setMethod] = useState<Method>("iso");
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
        {method === "iso" ? <IsoMethod close={close} /> : <PxeMethod close={close} />}
      </Boundary>
    </Modal>
  );
}

function MethodCards({ method, choose }: { method: Method; choose(method: Method): void }) {
  return (
    <fieldset className="methods" role="radiogroup">
      <legend className="visually-hidden">Method</legend>
      <div className="method method-later" role="radio" aria-checked="false" aria-disabled="true">
        <CardText icon={<TerminalIcon />} name="Muster CLI" text="Arrives with a later release." />
      </div>
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
