import { defineConfig } from "vitest/config";

// The state manager that `npm run dev` speaks to.
const service = process.env["EXOSPHERE_STATE_MANAGER_URI"] ?? "http://127.0.0.1:8000";

export default defineConfig({
  base: "/ui/",
  build: {
    outDir: "../exospherehost/dashboard/static",
    emptyOutDir: true,
    target: "es2022",
    modulePreload: false,
    cssCodeSplit: false,
    assetsInlineLimit: 0,
    reportCompressedSize: false,
    license: { fileName: "licences.md" },
  },
  oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
  server: { proxy: { "/v0": service, "/health": service, "/openapi.json": service, "/ui/session": service } },
  test: { include: ["src/**/*.test.ts"] },
});
