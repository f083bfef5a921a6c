// The city's own tiles beneath its sites: vector tiles in the colours of the theme, or pictures. Layers are named as
// Protomaps and as OpenMapTiles name them; what is named otherwise is not drawn.
import L from "/page/libraries/leaflet.min.js";
import protomaps from "/page/libraries/protomaps-leaflet.min.js";
import { colour } from "/page/theme.js";

const GREEN = /park|grass|wood|forest|meadow|scrub|garden|cemetery|golf|pitch|recreation|nature|zoo|orchard|farm/;
const WATER = ["water", "waterway"];
const ROADS = ["roads", "transportation"];
const NAMED_ROADS = ["roads", "transportation_name"];
const PLACES = ["places", "place"];
const BUILDINGS = ["buildings", "building"];
const LAND_USE = ["landuse", "landcover", "park"];
const GROUND = ["earth", "land"];
const RANKS = [[/motorway|trunk|highway/, 3], [/primary|secondary|major/, 2.2], [/tertiary|medium/, 1.6], [/path|foot|track|steps|cycle|pier/, 0.5], [/rail|transit|ferry|aero/, 0.6]];
const NARROW_FROM = 15; // minor streets get thin below
const LINE = 2; // kinds of geometry in MVT
const AREA = 3;

// A layer for Leaflet. tiles: of /api/v1/map.
export function tileLayer(tiles) {
  return tiles.kind === "vector" ? vector(tiles) : new Pictures(tiles);
}

const kindOf = (feature) => String(feature.props.kind ?? feature.props.class ?? "");
const rankOf = (feature) => RANKS.find(([words]) => words.test(kindOf(feature)))?.[1] ?? 1;
const of = (geometry) => (_, feature) => feature.geomType === geometry;

function vector(tiles) {
  const layer = protomaps.leafletLayer({ url: tiles.address, paintRules: paint(), labelRules: labels(), backgroundColor: colour("--land"),
    maxDataZoom: tiles.max_zoom, attribution: "", noWrap: true });
  return layer;
}

function paint() {
  const fill = (names, name, filter) => names.map((dataLayer) => ({ dataLayer, filter, symbolizer: new protomaps.PolygonSymbolizer({ fill: colour(name) }) }));
  const line = (names, name, width, filter) => names.map((dataLayer) => ({ dataLayer, filter, symbolizer: new protomaps.LineSymbolizer({ color: colour(name), width }) }));
  const wide = (extra) => (zoom, feature) => rankOf(feature) * Math.max(0.9, 2 ** ((zoom - NARROW_FROM) / 1.8) * 3) + extra;
  return [
    ...fill(GROUND, "--land"),
    ...fill(LAND_USE, "--green", (_, feature) => feature.geomType === AREA && GREEN.test(kindOf(feature))),
    ...fill(WATER, "--water", of(AREA)),
    ...line(WATER, "--water", (zoom) => Math.max(0.6, 2 ** (zoom - 14)), of(LINE)),
    ...fill(BUILDINGS, "--building"),
    ...line(ROADS, "--kerb", wide(1.4), of(LINE)),
    ...line(ROADS, "--street", wide(0), of(LINE)),
  ];
}

function labels() {
  const look = { fill: colour("--muted"), stroke: colour("--land"), width: 3, fontFamily: "system-ui, sans-serif" };
  return [
    ...PLACES.map((dataLayer) => ({ dataLayer, symbolizer: new protomaps.CenteredTextSymbolizer({ ...look, fontSize: 14, fontWeight: 600 }) })),
    ...NAMED_ROADS.map((dataLayer) => ({ dataLayer, minzoom: 14, symbolizer: new protomaps.LineLabelSymbolizer({ ...look, fontSize: 12 }) })),
  ];
}

// Tiles that are pictures, drawn on a canvas each: a picture from an address of its own would need a wider policy (CSP).
const Pictures = L.GridLayer.extend({
  initialize(tiles) {
    L.GridLayer.prototype.initialize.call(this, { maxNativeZoom: tiles.max_zoom, minNativeZoom: tiles.min_zoom, className: "pictures", noWrap: true });
    this.file = new protomaps.PmtilesSource(tiles.address, false).p;
  },
  createTile(coords, done) {
    const size = this.getTileSize();
    const canvas = L.DomUtil.create("canvas");
    canvas.width = canvas.height = size.x * Math.ceil(devicePixelRatio);
    this.file.getZxy(coords.z, coords.x, coords.y)
      .then((found) => found && createImageBitmap(new Blob([found.data])))
      .then((picture) => {
        if (picture) canvas.getContext("2d").drawImage(picture, 0, 0, canvas.width, canvas.height);
        done(null, canvas);
      })
      .catch((error) => done(error, canvas));
    return canvas;
  },
});
