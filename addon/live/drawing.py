# SPDX-License-Identifier: GPL-3.0-or-later
"""A picture with depth, drawn into a viewport: each pixel is tested against the depth of what Blender has drawn.

A picture may be older than the view that it is drawn into. Then each pixel looks for the place in the old picture that has moved here:
the old picture's own depth says where each of its points is now, and a few steps of "move back by what I missed" find the one that lands
on the pixel. So the splat stays on its meshes while the view turns, at the frame rate of Blender rather than of the server.

Colours are sRGB, as the cameras saw them; the viewport's overlays, among which this is drawn, are stored as sRGB and take linear light.
"""

from __future__ import annotations

from typing import Any

import gpu
import numpy as np
from gpu_extras.batch import batch_for_shader
from mathutils import Matrix

from .asking import Picture
from .cameras import ViewCamera, depth_numbers, is_perspective, reprojection

TURNS = 4
"""Steps of the search in an older picture."""

_VERTEX = """
void main()
{
  place = corner;
  gl_Position = vec4(corner, 0.0, 1.0);
}
"""

# lens: a, b, w of cameras.depth_numbers, and a depth to go on with where the picture is empty.
# grid: the picture's width and height, steps of the search, whether to smooth.
# tone: a depth's factor and summand for the test, opacity.
_FRAGMENT = """
vec2 texel_at(ivec2 at)
{
  if (any(lessThan(at, ivec2(0))) || any(greaterThanEqual(at, ivec2(grid.xy)))) {
    return vec2(0.0);
  }
  return texelFetch(picture, at, 0).rg;
}

vec3 colour_of(float number)
{
  float red = floor(number / 65536.0);
  float rest = number - red * 65536.0;
  float green = floor(rest / 256.0);
  return vec3(red, green, rest - green * 256.0) / 255.0;
}

vec3 linear(vec3 colour)
{
  return mix(pow((colour + 0.055) / 1.055, vec3(2.4)), colour / 12.92, vec3(lessThanEqual(colour, vec3(0.04045))));
}

vec4 moved(vec2 from, float depth)
{
  float z = (lens.y - lens.x * depth) / (lens.z > 0.5 ? depth : 1.0);
  return reproject * vec4(from, z, 1.0);
}

void main()
{
  vec2 from = place;
  for (int k = 0; k < int(grid.z); k++) {
    vec2 at = vec2(0.5 + 0.5 * from.x, 0.5 - 0.5 * from.y) * grid.xy;
    float depth = texel_at(ivec2(floor(at))).y;
    vec4 now = moved(from, depth == 0.0 ? lens.w : depth);
    if (now.w <= 0.0) {
      discard;
    }
    from -= now.xy / now.w - place;
  }
  vec2 at = vec2(0.5 + 0.5 * from.x, 0.5 - 0.5 * from.y) * grid.xy;
  vec3 colour = vec3(0.0);
  float covered = 0.0;
  float depth = 0.0;
  if (grid.w > 0.5) {
    vec2 base = floor(at - 0.5);
    vec2 part = at - 0.5 - base;
    float most = 0.0;
    for (int k = 0; k < 4; k++) {
      ivec2 step = ivec2(k & 1, k >> 1);
      vec2 texel = texel_at(ivec2(base) + step);
      float weight = (step.x == 1 ? part.x : 1.0 - part.x) * (step.y == 1 ? part.y : 1.0 - part.y);
      if (texel.y != 0.0) {
        colour += weight * colour_of(texel.x);
        covered += weight;
        if (weight > most) {
          most = weight;
          depth = texel.y;
        }
      }
    }
    colour /= max(covered, 1e-6);
  }
  else {
    vec2 texel = texel_at(ivec2(floor(at)));
    colour = colour_of(texel.x);
    depth = texel.y;
    covered = depth == 0.0 ? 0.0 : 1.0;
  }
  if (covered < 0.01) {
    discard;
  }
  vec4 now = moved(from, depth * tone.x + tone.y);
  gl_FragDepth = clamp(0.5 * now.z / now.w + 0.5, 0.0, 1.0);
  shown = vec4(linear(colour), tone.z * min(1.0, covered));
}
"""


class Canvas:
    """A region's texture, made anew for each picture."""

    def __init__(self) -> None:
        self._texture: Any = None
        self._picture: Picture | None = None
        self._beyond = 1.0

    def show(self, picture: Picture) -> None:
        """Move a picture to the graphics card, unless it is there. With a region's graphics context only (in a draw handler)."""
        if picture is self._picture:
            return
        height, width = picture.texels.shape[:2]
        flat = np.ascontiguousarray(picture.texels, np.float32).reshape(-1)
        self._texture = gpu.types.GPUTexture((width, height), format="RG32F", data=gpu.types.Buffer("FLOAT", len(flat), flat))
        self._picture = picture
        self._beyond = _usual_depth(picture)

    def draw(self, view: ViewCamera, *, over: bool, opacity: float, tolerance: float) -> None:
        """Draw the picture into the view. over: whatever is in front; else tested, a tolerance (of the distance) nearer than it is."""
        if self._picture is None:
            return
        old = self._picture.wanted.view
        matrix = reprojection(old, view)
        still = np.array_equal(matrix, np.eye(4))
        height, width = self._picture.texels.shape[:2]
        same_size = (width, height) == (view.camera.width, view.camera.height)
        nearer = (1 - tolerance, 0.0) if is_perspective(old.window) else (1.0, -tolerance * old.camera.height / old.camera.fy)
        shader, batch = _tools()
        shader.bind()
        shader.uniform_sampler("picture", self._texture)
        shader.uniform_float("reproject", Matrix(matrix.tolist()))
        shader.uniform_float("lens", (*depth_numbers(old.window), self._beyond))
        shader.uniform_float("grid", (width, height, 0 if still else TURNS, 0 if still and same_size else 1))
        shader.uniform_float("tone", (*nearer, opacity, 0.0))
        depth_test, depth_mask, blend = gpu.state.depth_test_get(), gpu.state.depth_mask_get(), gpu.state.blend_get()
        gpu.state.depth_test_set("ALWAYS" if over else "LESS_EQUAL")
        gpu.state.depth_mask_set(False)
        gpu.state.blend_set("ALPHA")
        try:
            batch.draw(shader)
        finally:
            gpu.state.depth_test_set(depth_test)
            gpu.state.depth_mask_set(depth_mask)
            gpu.state.blend_set(blend)


_made: tuple[Any, Any] | None = None


def _tools() -> tuple[Any, Any]:
    """The shader and the two triangles that cover a region, made on first use."""
    global _made
    if _made is None:
        info = gpu.types.GPUShaderCreateInfo()
        info.vertex_in(0, "VEC2", "corner")
        between = gpu.types.GPUStageInterfaceInfo("splatonym_live")
        between.smooth("VEC2", "place")
        info.vertex_out(between)
        info.push_constant("MAT4", "reproject")
        for name in ("lens", "grid", "tone"):
            info.push_constant("VEC4", name)
        info.sampler(0, "FLOAT_2D", "picture")
        info.fragment_out(0, "VEC4", "shown")
        if hasattr(info, "depth_write"):  # not in 4.2, where a shader may always write it
            info.depth_write("ANY")
        info.vertex_source(_VERTEX)
        info.fragment_source(_FRAGMENT)
        shader = gpu.shader.create_from_info(info)
        corners = [(-1, -1), (1, -1), (1, 1), (-1, -1), (1, 1), (-1, 1)]
        _made = shader, batch_for_shader(shader, "TRIS", {"corner": corners})
    return _made


def forget() -> None:
    """Let go of the shader; for the add-on's end."""
    global _made
    _made = None


def _usual_depth(picture: Picture) -> float:
    """A depth that is usual in the picture; 1 where there is none."""
    depth = picture.texels[::8, ::8, 1]
    there = depth[depth != 0]
    return float(np.median(there)) if len(there) else 1.0
