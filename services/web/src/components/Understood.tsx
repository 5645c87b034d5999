import { Component, type ReactNode } from 'react';

interface UnderstoodProps {
  answer: unknown;
  /** In place of what cannot be shown. */
  otherwise: ReactNode;
  children: ReactNode;
}

/** What is made of an answer of the server. One that lacks what it should have is told of here, not by a broken page. */
export class Understood extends Component<UnderstoodProps, { failed: boolean }> {
  override state = { failed: false };

  static getDerivedStateFromError() {
    return { failed: true };
  }

  override componentDidUpdate(before: UnderstoodProps): void {
    if (this.state.failed && before.answer !== this.props.answer) this.setState({ failed: false });
  }

  override render(): ReactNode {
    return this.state.failed ? this.props.otherwise : this.props.children;
  }
}
