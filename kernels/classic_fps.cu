// Farthest-point sampling of the classical design, for the benchmark to compare with: one block a
// cloud, coordinates and distances in global memory, a tree reduction over shared memory each step.

#include <cuda_runtime.h>

constexpr int kThreads = 512;
constexpr float kNearOrigin = 1e-3f;

__global__ void sample(const float* points, float* distances, int size, int samples, int* picks) {
  __shared__ float best[kThreads];
  __shared__ int where[kThreads];
  points += static_cast<long long>(blockIdx.x) * size * 3;
  distances += static_cast<long long>(blockIdx.x) * size;
  picks += static_cast<long long>(blockIdx.x) * samples;
  for (int i = threadIdx.x; i < size; i += kThreads) distances[i] = 1e10f;
  int last = 0;
  for (int step = 0; step < samples; ++step) {
    if (threadIdx.x == 0) picks[step] = last;
    const float cx = points[3 * last], cy = points[3 * last + 1], cz = points[3 * last + 2];
    float farthest = -1.0f;
    int index = 0;
    for (int i = threadIdx.x; i < size; i += kThreads) {
      const float x = points[3 * i], y = points[3 * i + 1], z = points[3 * i + 2];
      if (x * x + y * y + z * z <= kNearOrigin) continue;
      const float dx = x - cx, dy = y - cy, dz = z - cz;
      const float nearest = fminf(dx * dx + dy * dy + dz * dz, distances[i]);
      distances[i] = nearest;
      if (nearest > farthest) {
        farthest = nearest;
        index = i;
      }
    }
    best[threadIdx.x] = farthest;
    where[threadIdx.x] = index;
    __syncthreads();
    for (int half = kThreads / 2; half > 0; half /= 2) {
      if (threadIdx.x < half) {
        const int other = threadIdx.x + half;
        const bool larger = best[other] > best[threadIdx.x] ||
                            (best[other] == best[threadIdx.x] && where[other] < where[threadIdx.x]);
        if (larger) {
          best[threadIdx.x] = best[other];
          where[threadIdx.x] = where[other];
        }
      }
      __syncthreads();
    }
    last = where[0];
    __syncthreads();
  }
}

// Indices [batch, samples] of points [batch, size, 3] in the host's memory, and the milliseconds of
// each of `rounds` runs after one to warm up. Returns CUDA's error code, 0 if there is none.
extern "C" int classic_fps(const float* points, int batch, int size, int samples, int rounds,
                           int* picks, float* milliseconds) {
  const size_t coordinates = sizeof(float) * 3 * batch * size;
  float *cloud = nullptr, *distances = nullptr;
  int* found = nullptr;
  cudaEvent_t begin, end;
  cudaMalloc(&cloud, coordinates);
  cudaMalloc(&distances, sizeof(float) * batch * size);
  cudaMalloc(&found, sizeof(int) * batch * samples);
  cudaMemcpy(cloud, points, coordinates, cudaMemcpyHostToDevice);
  cudaEventCreate(&begin);
  cudaEventCreate(&end);
  for (int round = -1; round < rounds; ++round) {
    cudaEventRecord(begin);
    sample<<<batch, kThreads>>>(cloud, distances, size, samples, found);
    cudaEventRecord(end);
    cudaEventSynchronize(end);
    if (round >= 0) cudaEventElapsedTime(&milliseconds[round], begin, end);
  }
  cudaMemcpy(picks, found, sizeof(int) * batch * samples, cudaMemcpyDeviceToHost);
  cudaEventDestroy(begin);
  cudaEventDestroy(end);
  cudaFree(cloud);
  cudaFree(distances);
  cudaFree(found);
  return static_cast<int>(cudaGetLastError());
}
