# docker build -t tvapp . && docker run -p 127.0.0.1:8000:8000 -v tvapp-data:/data tvapp
FROM python:3.11-slim

ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 TVAPP_HOME=/data HOST=0.0.0.0 PORT=8000
WORKDIR /app

COPY requirements.txt .
RUN pip install --no-cache-dir --disable-pip-version-check --require-hashes -r requirements.txt

# The code belongs to root and can only be read; the one place tvapp may write to is the volume.
COPY . .
RUN python -m compileall -q analytics brokers risk trading tvapp manage.py \
    && chmod -R a=rX,u+w /app \
    && useradd --uid 10001 --user-group --no-create-home --shell /usr/sbin/nologin tvapp \
    && install -d -m 0700 -o tvapp -g tvapp /data

USER 10001:10001
VOLUME /data
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-m", "tvapp.supervisor", "--health"]
CMD ["python", "-m", "tvapp.supervisor"]
