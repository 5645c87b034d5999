/**
 * The one WebSocket of this page (`/ws/events`): commands that are being watched, and connection changes of vehicles.
 *
 * It is open while somebody is logged in. After a reconnect everything watched is subscribed again, each command after
 * the last answer that is here.
 */
import { CommandFollower } from './commandFollower';
import { readEvent, type LiveEvent, type VehicleEvent } from './events';
import { ReconnectingSocket } from './reconnectingSocket';

/** A follower stays so long after its last watcher left: a page that comes right back finds it as it was. */
const LINGER_MS = 2_000;

export interface VehicleWatcher {
  onChange(event: VehicleEvent): void;
  /** Changes may have been missed: read the vehicles again. */
  onResync(): void;
}

export class LiveFeed {
  private readonly socket: ReconnectingSocket;
  private readonly followers = new Map<string, CommandFollower>();
  private readonly vehicleWatchers = new Set<VehicleWatcher>();

  constructor(connect: () => Promise<WebSocket>) {
    this.socket = new ReconnectingSocket({
      connect,
      onOpen: () => this.onOpen(),
      onMessage: (message) => this.onEvent(readEvent(message)),
    });
  }

  get state() {
    return this.socket.state;
  }

  start(): void {
    this.socket.start();
  }

  stop(): void {
    this.socket.stop();
    for (const follower of this.followers.values()) follower.onDisconnect();
  }

  /** The follower of this command, the same for all. It ends soon, unless somebody holds it. */
  follower(commandId: string): CommandFollower {
    const known = this.followers.get(commandId);
    if (known !== undefined) return known;
    const follower = new CommandFollower(commandId, (message) => this.socket.send(message));
    this.begin(follower);
    this.endSoon(follower);
    return follower;
  }

  /** Keeps it going until what is returned is called. */
  hold(follower: CommandFollower): () => void {
    follower.watchers += 1;
    if (!this.followers.has(follower.commandId)) this.begin(follower);
    return () => {
      follower.watchers -= 1;
      this.endSoon(follower);
    };
  }

  watchVehicles(watcher: VehicleWatcher): () => void {
    if (this.vehicleWatchers.size === 0) this.socket.send({ action: 'subscribe', vehicles: true });
    this.vehicleWatchers.add(watcher);
    return () => {
      this.vehicleWatchers.delete(watcher);
      if (this.vehicleWatchers.size === 0) this.socket.send({ action: 'unsubscribe', vehicles: true });
    };
  }

  private begin(follower: CommandFollower): void {
    this.followers.set(follower.commandId, follower);
    if (this.socket.state.get() === 'open') follower.onConnect();
  }

  private endSoon(follower: CommandFollower): void {
    setTimeout(() => {
      if (follower.watchers > 0 || this.followers.get(follower.commandId) !== follower) return;
      this.followers.delete(follower.commandId);
      follower.onEnd();
    }, LINGER_MS);
  }

  private onOpen(): void {
    if (this.vehicleWatchers.size > 0) this.socket.send({ action: 'subscribe', vehicles: true });
    for (const follower of this.followers.values()) {
      follower.onDisconnect();
      follower.onConnect();
    }
  }

  private onEvent(event: LiveEvent): void {
    if (event.kind === 'vehicle') for (const watcher of this.vehicleWatchers) watcher.onChange(event);
    else if (event.kind === 'resync') for (const watcher of this.vehicleWatchers) watcher.onResync();
    else if ('commandId' in event) this.onCommandEvent(event, event.commandId);
  }

  private onCommandEvent(event: LiveEvent, commandId: string | undefined): void {
    if (commandId !== undefined) this.followers.get(commandId)?.onEvent(event);
    // Whose it is cannot be told: whoever looks on should know that something came.
    else if (event.kind === 'oddity') for (const follower of this.followers.values()) follower.onEvent(event);
  }
}
