// HOT
/** One look, in the next turn of the event loop, at everything that asked for one: a timer for each costs more. */
export interface Settling {
  settle(): void;
}

const waiting: Settling[] = [];

/** Calls `settle` in the next turn. */
export function settleNextTurn(one: Settling): void {
  if (waiting.push(one) === 1) setImmediate(settleAll);
}

function settleAll(): void {
  for (const one of waiting.splice(0)) one.settle();
}
