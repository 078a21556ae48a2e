/** What `node` runs in a worker process. */
import { Worker } from "./worker.ts";

new Worker();
