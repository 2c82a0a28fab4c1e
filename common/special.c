/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common/special.h"

#include <math.h>

/* Continued fraction of I_x(a, b) (DLMF 8.17.22), evaluated by Lentz's method as modified by Thompson and
 * Barnett. It converges in O(sqrt(max(a, b))) terms for x below the mean. */
static double beta_fraction(double x, double a, double b)
{
	const double tiny = 1e-300;
	double c = 1, d = 1 - (a + b) * x / (a + 1);
	d = 1 / (fabs(d) < tiny ? tiny : d);
	double f = d;
	for (int m = 1; m < 20000; m++) {
		double k = m;
		double even = k * (b - k) * x / ((a + 2 * k - 1) * (a + 2 * k));
		double odd = -(a + k) * (a + b + k) * x / ((a + 2 * k) * (a + 2 * k + 1));
		double step = 1;
		for (int half = 0; half < 2; half++) {
			double term = half ? odd : even;
			d = 1 + term * d;
			d = 1 / (fabs(d) < tiny ? tiny : d);
			c = 1 + term / c;
			c = fabs(c) < tiny ? tiny : c;
			step = c * d;
			f *= step;
		}
		if (fabs(step - 1) < 1e-13)
			break;
	}
	return f;
}

static double log_gamma(double x)
{
	int sign;
	return lgamma_r(x, &sign);
}

double beta_cdf(double x, double a, double b)
{
	if (x <= 0)
		return 0;
	if (x >= 1)
		return 1;
	double front = exp(a * log(x) + b * log1p(-x) + log_gamma(a + b) - log_gamma(a) - log_gamma(b));
	if (x < (a + 1) / (a + b + 2))
		return front * beta_fraction(x, a, b) / a;
	return 1 - front * beta_fraction(1 - x, b, a) / b;
}

double beta_quantile(double p, double a, double b)
{
	double mean = a / (a + b), spread = 12 * sqrt(a * b / (a + b + 1)) / (a + b);
	double lo = fmax(0, mean - spread), hi = fmin(1, mean + spread);
	if (beta_cdf(lo, a, b) > p)
		lo = 0;
	if (beta_cdf(hi, a, b) < p)
		hi = 1;
	for (int i = 0; i < 200 && hi - lo > 1e-12 * hi; i++) {
		double mid = (lo + hi) / 2;
		if (beta_cdf(mid, a, b) < p)
			lo = mid;
		else
			hi = mid;
	}
	return (lo + hi) / 2;
}

/* t² / (df + t²) follows Beta(1/2, df/2). */
double student_quantile(double p, double df)
{
	if (p < 0.5)
		return -student_quantile(1 - p, df);
	double x = beta_quantile(2 * p - 1, 0.5, df / 2);
	return sqrt(df * x / (1 - x));
}
