/** Stands for the browser's WebSocket: a test opens, speaks and closes as the server would. */
export class FakeSocket {
  static readonly OPEN = WebSocket.OPEN;
  readyState: number = WebSocket.CONNECTING;
  readonly sent: Record<string, unknown>[] = [];
  onopen: (() => void) | null = null;
  onmessage: ((message: { data: unknown }) => void) | null = null;
  onclose: (() => void) | null = null;
  closed = false;

  send(text: string): void {
    this.sent.push(JSON.parse(text) as Record<string, unknown>);
  }

  close(): void {
    this.closed = true;
    this.readyState = WebSocket.CLOSED;
  }

  open(): void {
    this.readyState = WebSocket.OPEN;
    this.onopen?.();
  }

  say(event: object): void {
    this.onmessage?.({ data: JSON.stringify(event) });
  }

  lose(): void {
    this.readyState = WebSocket.CLOSED;
    this.onclose?.();
  }
}
