FROM python:3.11-slim

ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /app
RUN useradd --uid 10001 --create-home crawler && mkdir var && chown crawler var

# What runs changes less often than our code: its layer stays. Tools for development stay out of the image.
COPY requirements.txt ./
RUN sed '/^# development and tests/,$d' requirements.txt > runtime.txt && pip install -r runtime.txt
COPY pyproject.toml README.md scrapy.cfg ./
COPY anime_crawler anime_crawler
# Compiled here: later nothing is written, and Scrapy imports the project from where scrapy.cfg is.
RUN pip install --no-deps . && python -m compileall -q anime_crawler

USER crawler
# Catalogue, job directory, budgets and reports: everything that must outlive the container.
VOLUME /app/var
STOPSIGNAL SIGTERM
# A run whose event loop gives no sign of life for half a minute is stuck.
HEALTHCHECK --interval=60s --timeout=30s --start-period=30s --retries=2 CMD ["scrapy", "health"]
ENTRYPOINT ["scrapy"]
CMD ["crawl", "kodik", "-s", "JOBDIR=var/jobs/kodik"]
