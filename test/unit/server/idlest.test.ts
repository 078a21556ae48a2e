import { describe, expect, it } from "vitest";
import { Idlest } from "../../../src/server/idlest.ts";

class Kept {
  static looks = 0;
  lastReceive: number;
  #isIdle: boolean;
  constructor(lastReceive: number, isIdle = true) {
    this.lastReceive = lastReceive;
    this.#isIdle = isIdle;
  }
  get isIdle(): boolean {
    Kept.looks++;
    return this.#isIdle;
  }
  set isIdle(is: boolean) {
    this.#isIdle = is;
  }
}

describe("the connection that has been idle longest", () => {
  it("is found, and then the next one", () => {
    const all = new Set([new Kept(30), new Kept(10), new Kept(5, false), new Kept(20)]);
    const idlest = new Idlest<Kept>();
    const order: number[] = [];
    for (let one = idlest.take(all); one !== undefined; one = idlest.take(all)) {
      order.push(one.lastReceive);
      all.delete(one);
    }
    expect(order).toEqual([10, 20, 30]);
  });

  it("is, of several since the same tick of the clock, the one that was made first", () => {
    const [first, second, third] = [10, 10, 10].map((at) => new Kept(at));
    const all = new Set([first!, second!, third!]);
    const idlest = new Idlest<Kept>();
    expect(idlest.take(all)).toBe(first);
    expect(idlest.take(all)).toBe(second);
  });

  it("is not one that has had a request or is gone since they were put in order", () => {
    const [first, used, busy, gone, last] = [10, 11, 12, 13, 14].map((at) => new Kept(at));
    const all = new Set([first!, used!, busy!, gone!, last!]);
    const idlest = new Idlest<Kept>();
    expect(idlest.take(all)).toBe(first);
    all.delete(first!);
    used!.lastReceive = 50;
    busy!.isIdle = false;
    all.delete(gone!);
    expect(idlest.take(all)).toBe(last);
    all.delete(last!);
    expect(idlest.take(all)).toBe(used);
  });

  it("is found among newcomers when the others are used up, and is nobody when all are busy", () => {
    const all = new Set([new Kept(1)]);
    const idlest = new Idlest<Kept>();
    idlest.take(all);
    all.clear();
    const newcomer = new Kept(2);
    all.add(newcomer);
    expect(idlest.take(all)).toBe(newcomer);
    newcomer.isIdle = false;
    expect(idlest.take(all)).toBeUndefined();
  });

  it("costs a few looks, however many connections there are", () => {
    const count = 10_000;
    const all = new Set(Array.from({ length: count }, (_, at) => new Kept(at)));
    const idlest = new Idlest<Kept>();
    Kept.looks = 0;
    for (let at = count; at < 2 * count; at++) {
      all.delete(idlest.take(all)!);
      all.add(new Kept(at)); // as in a server that stays full
    }
    expect(Kept.looks).toBeLessThan(4 * count);
  });
});
