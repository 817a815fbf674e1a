'use strict';

// The library lies in the page compressed; browsers since 2023 can unpack it by themselves.
async function loadLibrary() {
  const packed = document.getElementById('plotly').textContent;
  const bytes = Uint8Array.from(atob(packed), (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream('gzip'));
  const script = document.createElement('script');
  script.textContent = await new Response(stream).text();
  document.head.append(script);
}

function decode(text, Kind) {
  return new Kind(Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)).buffer);
}

// One trace for each part of a cloud, so that the legend names the parts and can hide them.
function traces(view, number) {
  const whole = decode(view.points, Int16Array);
  const parts = decode(view.parts, Uint8Array);
  const found = view.names.map((name, part) => ({
    type: 'scatter3d', mode: 'markers', scene: number ? `scene${number + 1}` : 'scene',
    name, legendgroup: name, showlegend: name !== '',
    x: [], y: [], z: [], hoverinfo: view.names.length > 1 ? 'name' : 'none',
    marker: { size: 3, color: view.colours[part], line: { width: 0 } },
  }));
  for (let i = 0; i < parts.length; i += 1) {
    const trace = found[parts[i]];
    ['x', 'y', 'z'].forEach((axis, k) => {
      trace[axis].push(view.middle[k] + view.reach * whole[3 * i + k] / 32000);
    });
  }
  return found;
}

// As the pictures show them: from the front, above and to the side, y up.
const CAMERA = { up: { x: 0, y: 1, z: 0 }, eye: { x: 0.85, y: 0.55, z: 1.24 } };

function layoutOf(views) {
  const layout = {
    margin: { l: 0, r: 0, t: 26, b: 0 }, paper_bgcolor: 'rgba(0,0,0,0)', uirevision: 'kept',
    legend: { orientation: 'h', y: 0, itemsizing: 'constant' }, annotations: [], hovermode: 'closest',
  };
  views.forEach((view, k) => {
    const domain = [k / views.length, (k + 1) / views.length];
    // A cube around the cloud, so that its proportions are its own and all of it is seen.
    const [x, y, z] = view.middle.map((m) => (
      { visible: false, showbackground: false, range: [m - view.reach, m + view.reach] }
    ));
    layout[k ? `scene${k + 1}` : 'scene'] = {
      domain: { x: domain, y: [0, 1] }, aspectmode: 'cube', camera: CAMERA, uirevision: 'kept',
      xaxis: x, yaxis: y, zaxis: z,
    };
    layout.annotations.push({
      text: escaped(view.title.replace('\n', ', ')), showarrow: false, x: (domain[0] + domain[1]) / 2,
      y: 1, xref: 'paper', yref: 'paper', yanchor: 'bottom', font: { size: 13 },
    });
  });
  return layout;
}

// plotly takes some HTML in texts: a name is shown as it is.
function escaped(text) {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('$', '&#36;');
}

function setUp(viewer) {
  const items = JSON.parse(viewer.querySelector('script').textContent);
  const select = viewer.querySelector('select');
  const scene = viewer.querySelector('.scene');
  const show = () => {
    const [, views] = items[Number(select.value)];
    const seen = new Set();
    const all = views.flatMap((view, k) => traces(view, k));
    all.forEach((trace) => {
      trace.showlegend = trace.showlegend && !seen.has(trace.legendgroup);
      trace.name = escaped(trace.name);
      if (trace.showlegend) seen.add(trace.legendgroup);
    });
    return Plotly.react(scene, all, layoutOf(views), { displayModeBar: false, responsive: true });
  };
  const step = (by) => {
    select.value = String((Number(select.value) + by + items.length) % items.length);
    show();
  };
  select.addEventListener('change', show);
  viewer.querySelector('.previous').addEventListener('click', () => step(-1));
  viewer.querySelector('.next').addEventListener('click', () => step(1));
  show().then(() => {
    // Clouds side by side turn together.
    let turning = false;
    scene.on('plotly_relayout', (change) => {
      const moved = Object.keys(change).find((name) => /^scene\d*\.camera$/.test(name));
      if (!moved || turning) return;
      const others = Object.keys(scene._fullLayout).filter((name) => /^scene\d*$/.test(name));
      const update = {};
      others.forEach((name) => { update[`${name}.camera`] = change[moved]; });
      turning = true;
      Plotly.relayout(scene, update).then(() => { turning = false; });
    });
    viewer.dataset.ready = 'yes';
  });
}

loadLibrary().then(() => document.querySelectorAll('.viewer').forEach(setUp)).catch((error) => {
  document.querySelectorAll('.scene').forEach((scene) => {
    scene.textContent = `This browser cannot turn the clouds (${error.message}); the picture above shows them.`;
    scene.style.height = 'auto';
  });
});
