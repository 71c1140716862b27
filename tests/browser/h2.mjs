// H2 from the first page in three clicks, in a real browser; prints what was seen as JSON. node h2.mjs PLAYWRIGHT CHROMIUM SERVER
import { pathToFileURL } from "node:url";

const [playwright, executablePath, base] = process.argv.slice(2);
const { chromium } = await import(pathToFileURL(playwright));
const browser = await chromium.launch({ executablePath, args: ["--no-sandbox", "--disable-gpu", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"] });
try {
  const page = await browser.newPage();
  const errors = [];
  const strangers = [];
  const received = new Set();
  page.on("console", (message) => message.type() === "error" && errors.push(message.text()));
  page.on("pageerror", (error) => errors.push(String(error)));
  page.on("request", (request) => /^(data|blob):/.test(request.url()) || new URL(request.url()).host === new URL(base).host || strangers.push(request.url()));
  page.on("websocket", (socket) =>
    socket.on("framereceived", ({ payload }) => {
      for (const event of [JSON.parse(String(payload))].flat()) if (event.type === "convergence") received.add(event.seq);
    }),
  );
  await page.goto(base);
  await page.getByRole("link", { name: "New run" }).click();
  await page.getByRole("button", { name: "H₂ hydrogen" }).first().click();
  await page.getByRole("button", { name: "Run", exact: true }).click();
  await page.waitForURL(/\/runs\//);
  await page.getByText("Completed").first().waitFor();
  await page.locator(".panel canvas").first().waitFor();
  const energy = (await page.locator("[data-figure='energy']").innerText()).replace("−", "-");
  await page.getByRole("button", { name: "Show data" }).first().click();
  const points = await page.locator(".data-table tbody tr").count();
  console.log(JSON.stringify({ energy: Number.parseFloat(energy), points, received: received.size, errors, strangers }));
} finally {
  await browser.close();
}
