// Keeps a fault in one part of the page from blanking all of it.
import { Component, type ErrorInfo, type ReactNode } from "react";

interface Props {
  /** What is inside, for the message: `the machines`. */
  what: string;
  children: ReactNode;
}

/** Shows a message and a way out where its children failed to render. */
export class Boundary extends Component<Props, { failed: boolean }> {
  override state = { failed: false };

  static getDerivedStateFromError(): { failed: boolean } {
    return { failed: true };
  }

  override componentDidCatch(error: Error, info: ErrorInfo): void {
    console.error(`cannot show ${this.props.what}`, error, info.componentStack);
  }

  override render(): ReactNode {
    if (!this.state.failed) return this.props.children;
    return (
      <div className="note note-problem" role="alert">
        <div>
          <p>This page cannot show {this.props.what}. The machines themselves are not affected.</p>
          <p className="actions">
            <button type="button" className="button" onClick={() => this.setState({ failed: false })}>
              Try again
            </button>
            <button type="button" className="button" onClick={() => window.location.reload()}>
              Reload
            </button>
          </p>
        </div>
      </div>
    );
  }
}
