/** Makes the button count. */
export function count(button) {
  let clicks = 0;
  const show = () => {
    button.textContent = `alive in the browser, ${clicks} clicks`;
  };
  button.addEventListener("click", () => {
    clicks++;
    show();
  });
  show();
}
