/**
 * What tests must know of the inside of the probe: lines of JSON in a file, since a program that a web server has
 * started has no other way to tell. And the way back: a gate is a file that a test makes.
 */
import { appendFileSync, existsSync } from "node:fs";

export class Journal {
  #path;

  constructor(path) {
    this.#path = path;
  }

  /** Written at once, and whole: several processes may share the file. */
  write(event, facts = {}) {
    appendFileSync(this.#path, `${JSON.stringify({ event, pid: process.pid, ...facts })}\n`);
  }

  /** Settles when a test opens the gate. */
  gate(name) {
    const file = `${this.#path}.${name}`;
    return new Promise((resolve) => {
      const look = () => (existsSync(file) ? resolve() : setTimeout(look, 5));
      look();
    });
  }

  /** Postern's log. */
  get logger() {
    const at = (level) => (fields, message) => this.write("log", { level, message, code: fields.code });
    return { debug: () => {}, info: at("info"), warn: at("warn"), error: at("error") };
  }

  /** Says how many requests and connections there are, each time it has changed. */
  watch(server) {
    let last = "";
    const look = () => {
      const { openRequests, connections, acceptedRequests } = server.stats;
      const now = `${openRequests} ${connections} ${acceptedRequests}`;
      if (now !== last) this.write("state", { openRequests, connections });
      last = now;
    };
    look();
    setInterval(look, 10).unref();
  }
}
