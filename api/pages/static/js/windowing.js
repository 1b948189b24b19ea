// From stored 16-bit values to 8-bit brightness. Source: DICOM PS3.3 C.11.2.1.2, LINEAR in its exact form.

/** A table of brightness for each of the 65,536 stored values. value = stored * slope + intercept. */
export function brightnessTable(slope, intercept, center, width) {
  const table = new Uint8ClampedArray(65536);
  const low = center - width / 2;
  const gain = 255 / Math.max(width, 1e-9);
  for (let stored = 0; stored < 65536; stored++) table[stored] = (stored * slope + intercept - low) * gain;
  return table;
}

/** Paints a frame into ImageData through the table. */
export function paint(pixels, table, image) {
  const out = new Uint32Array(image.data.buffer);
  const grey = new Uint32Array(256);
  for (let i = 0; i < 256; i++) grey[i] = 0xff000000 | (i << 16) | (i << 8) | i;
  for (let i = 0; i < pixels.length; i++) out[i] = grey[table[pixels[i]]];
  return image;
}

/** Presets that the file brings, then those that every reader expects. */
export function presets(stack, range) {
  const own = stack.windows.map((w) => ({ name: w.name || "File", center: w.center, width: w.width }));
  const found = [{ name: "Default", center: stack.center, width: stack.width }, ...own];
  if (stack.modality === "CT") {
    found.push(
      { name: "Lung", center: -600, width: 1500 },
      { name: "Mediastinum", center: 40, width: 400 },
      { name: "Bone", center: 400, width: 1800 },
    );
  }
  found.push({ name: "Full range", center: (range[0] + range[1]) / 2, width: Math.max(range[1] - range[0], 1e-6) });
  return found.filter((p, i) => found.findIndex((q) => q.center === p.center && q.width === p.width) === i);
}
