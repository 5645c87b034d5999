import { startTransition, useEffect, useMemo, useState, useSyncExternalStore } from 'react';
import type { CommandFollower, Following } from './commandFollower';
import { liveFeed } from './feed';
import type { SocketState } from './reconnectingSocket';

export function useFeedState(): SocketState {
  return useSyncExternalStore(liveFeed.state.subscribe, liveFeed.state.get);
}

/** Follows a command while the component is there. */
export function useFollower(commandId: string): CommandFollower {
  const follower = useMemo(() => liveFeed.follower(commandId), [commandId]);
  useEffect(() => liveFeed.hold(follower), [follower]);
  return follower;
}

/** A part of what is known of a command: the component renders again when that part changes, not with every answer. */
export function useFollowed<Part>(follower: CommandFollower, select: (following: Following) => Part): Part {
  return useSyncExternalStore(follower.state.subscribe, () => select(follower.state.get()));
}

/** The same for what may come a moment later: its drawing gives way to what is followed without delay. */
export function useFollowedLater<Part>(follower: CommandFollower, select: (following: Following) => Part): Part {
  const [part, setPart] = useState(() => select(follower.state.get()));
  useEffect(() => {
    const follow = () => startTransition(() => setPart(() => select(follower.state.get())));
    follow();
    return follower.state.subscribe(follow);
  }, [follower, select]);
  return part;
}

const NOTHING = () => () => undefined;

/** What is known of a command that may or may not be followed. */
export function useFollowing(commandId: string | undefined): Following | undefined {
  const follower = useMemo(() => (commandId === undefined ? undefined : liveFeed.follower(commandId)), [commandId]);
  useEffect(() => follower && liveFeed.hold(follower), [follower]);
  return useSyncExternalStore(follower?.state.subscribe ?? NOTHING, () => follower?.state.get());
}

/** What is known of several commands at once. */
export function useFollowedCommands(commandIds: readonly string[]): ReadonlyMap<string, Following> {
  const [known, setKnown] = useState<ReadonlyMap<string, Following>>(new Map());
  const key = commandIds.join();
  useEffect(() => {
    const leaves = (key === '' ? [] : key.split(',')).map((id) => {
      const follower = liveFeed.follower(id);
      const leave = liveFeed.hold(follower);
      const look = () => setKnown((before) => new Map(before).set(id, follower.state.get()));
      const unsubscribe = follower.state.subscribe(look);
      // A list may have followed it already, to its end.
      look();
      return () => {
        unsubscribe();
        leave();
      };
    });
    return () => leaves.forEach((leave) => leave());
  }, [key]);
  return known;
}
