/** `npm run build`: the package of src/, in dist/: its types by the compiler, its programs by the bundler. */
import { build, dependencies, main } from "./steps.mjs";

await main(async () => {
  await dependencies();
  await build();
  return 0;
});
