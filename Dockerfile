# The service in a container: without CUDA, not as root, healthy or started anew.
# docs/serving.md says how to run it.
#
#   docker build --tag vigilia .

FROM python:3.12-slim AS build
# PyTorch's own index has wheels without CUDA, a tenth of the size; its site, pytorch.org, names it
# under "Get started, CPU". Empty on Arm, where the ordinary wheels have none.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
WORKDIR /build
RUN python -m venv /opt/vigilia
ENV PATH=/opt/vigilia/bin:$PATH PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
COPY constraints.txt ./
RUN pip install --constraint constraints.txt ${TORCH_INDEX:+--index-url "$TORCH_INDEX"} torch torchvision
COPY pyproject.toml README.md LICENSE ./
COPY src src
RUN pip install --constraint constraints.txt ".[serve,formats,nwb,mqtt]"
RUN python -c "import torch; assert torch.version.cuda is None, 'this torch has CUDA; set TORCH_INDEX'"

FROM python:3.12-slim
RUN useradd --system --uid 10001 --user-group --home-dir /var/lib/vigilia --no-create-home \
      --shell /usr/sbin/nologin vigilia \
 && install --directory --owner vigilia --group vigilia --mode 0700 /var/lib/vigilia
COPY --from=build /opt/vigilia /opt/vigilia
ENV PATH=/opt/vigilia/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    HOME=/var/lib/vigilia MPLCONFIGDIR=/tmp/matplotlib
USER 10001:10001
WORKDIR /var/lib/vigilia
VOLUME /var/lib/vigilia
EXPOSE 8400
STOPSIGNAL SIGTERM
# 503 from /healthz, or no answer: the process should be started anew.
HEALTHCHECK --interval=30s --timeout=5s --start-period=90s --retries=3 \
  CMD ["python", "-c", "import urllib.request as web; web.urlopen('http://127.0.0.1:8400/healthz', timeout=4)"]
ENTRYPOINT ["vigilia"]
CMD ["serve", "/etc/vigilia/serve.toml"]
