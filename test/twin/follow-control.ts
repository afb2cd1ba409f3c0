// Follows the control socket of a board as soon as there is one, and again after each end of it.
import { ControlClient, type Told } from '../../firmware/board/control/client.ts';

const STATUS_EVERY_MS = 50;
const RECONNECT_MS = 20;

export interface Follower {
  readonly path: string;
  /** Number of the event after which all are told; null: none is. */
  readonly after: number | null;
  readonly isOver: () => boolean;
  readonly told: (told: Told) => void;
  /** Of the life that answers now; undefined: none does. */
  readonly client: (client: ControlClient | undefined) => void;
}

export async function followControl({
  path,
  after,
  isOver,
  told,
  client,
}: Follower): Promise<void> {
  while (!isOver()) {
    try {
      const control = await ControlClient.open(path);
      control.onTold = told;
      await control.ask({ do: 'subscribe', after, statusEveryMs: STATUS_EVERY_MS });
      client(control);
      await control.ended;
    } catch {
      // Nobody there yet.
    }
    client(undefined);
    await new Promise((resolve) => setTimeout(resolve, RECONNECT_MS));
  }
}
