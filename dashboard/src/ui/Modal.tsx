// A modal dialog on Radix' focus trap and accessibility.
//
// Its own overlay component is not used: that one locks scrolling through a <style> element,
// which our Content-Security-Policy refuses. CSS keeps the page still (`overscroll-behavior`).
import * as Dialog from "@radix-ui/react-dialog";
import { useState, type ReactNode } from "react";
import { CloseIcon } from "./icons";

interface ModalProps {
  open: boolean;
  onOpenChange(open: boolean): void;
  title: string;
  description: string;
  children: ReactNode;
}

/** A dialog with a title and a cross. A click beside it does not close it: typed text would be lost. */
export function Modal({ open, onOpenChange, ...rest }: ModalProps) {
  return (
    <Dialog.Root open={open} onOpenChange={onOpenChange}>
      <Dialog.Portal>
        <div className="overlay">
          <Framed {...rest} />
        </div>
      </Dialog.Portal>
    </Dialog.Root>
  );
}

type FramedProps = Pick<ModalProps, "title" | "description" | "children">;

function Framed({ title, description, children }: FramedProps) {
  // Who opened it gets the focus back: Radix does that for triggers of its own alone. Asked while the dialog is made,
  // since a field in it may take the focus at once.
  const [opener] = useState(() => document.activeElement);
  return (
    <Dialog.Content
      className="modal"
      onInteractOutside={(event) => event.preventDefault()}
      onCloseAutoFocus={(event) => {
        event.preventDefault();
        if (opener instanceof HTMLElement) opener.focus();
      }}
    >
      <header className="modal-head">
        <div>
          <Dialog.Title className="modal-title">{title}</Dialog.Title>
          <Dialog.Description className="modal-lead">{description}</Dialog.Description>
        </div>
        <Dialog.Close className="button button-icon" aria-label="Close">
          <CloseIcon />
        </Dialog.Close>
      </header>
      {children}
    </Dialog.Content>
  );
}
